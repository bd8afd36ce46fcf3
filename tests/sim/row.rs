//! What came of one world, rule by rule.

use serinus_sim::summary::Times;
use serinus_sim::worlds::World;

pub struct Row {
    pub world: World,
    /// Requests until a rule took the canary back; since it is worse, where it is.
    pub rules: Vec<(String, Times)>,
}

impl Row {
    pub fn rule(&self, name: &str) -> Option<&Times> {
        self.rules
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, times)| times)
    }

    /// The requests of the world in which the canary is worse.
    pub fn end(&self) -> f64 {
        (self.world.requests - self.world.start_of(self.world.from_step)) as f64
    }

    /// Ours over the oracle's, both at alpha 0.001, of means over all runs.
    pub fn to_oracle(&self, rule: &str) -> Option<f64> {
        let ours = self.rule(rule)?.mean(self.end());
        Some(ours / self.rule("oracle, alpha 0.001")?.mean(self.end()))
    }
}
