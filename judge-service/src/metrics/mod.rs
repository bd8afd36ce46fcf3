//! What a Prometheus reads of a judge. A page is made anew each time it is asked for, of
//! what is known then; only what must be measured as it happens is kept
//! ([`Measures`]).

mod judge;
mod measures;
mod page;

pub use judge::{follower, leader, of_every_judge};
pub use measures::Measures;
pub use page::Page;
