//! Who is let in to what.

use super::guard::Peer;
use super::problem::Problem;
use super::{needs, origin, session};
use crate::access::{Caller, Limit, Needs, Peers, Rate, Role, Shown, Tokens};
use crate::domain::Millis;
use crate::metrics::Page;
use crate::tls::ServerTls;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Who asks, on what one judge passes on to another, which does not pass it on again: the
/// lease may have changed hands meanwhile.
pub const PASSED_ON: HeaderName = HeaderName::from_static("x-serinus-passed-on");

/// Wrong tokens of one address. Nobody guesses 256 bits; but somebody who tries is to be
/// slow, and to leave a log that can be read.
const WRONG_TOKENS: Rate = Rate {
    burst: 20,
    every: Duration::from_secs(3),
};

/// Deeds of one token, or of one address where there are no tokens. A person does one a
/// minute, and a pipeline that applies a folder a hundred at once.
const DEEDS: Rate = Rate {
    burst: 300,
    every: Duration::from_millis(100),
};

pub struct Admission {
    /// `None` where whoever reaches the port may do all.
    tokens: Option<Arc<Tokens>>,
    /// Of several judges.
    peers: Option<Arc<Peers>>,
    /// The names by which this judge may be called, if that is checked.
    hosts: Option<Vec<String>>,
    clock: fn() -> Millis,
    wrong_tokens: Limit,
    deeds: Limit,
    counts: Counts,
    /// What the judge shows, if it speaks TLS.
    tls: Option<Arc<ServerTls>>,
}

/// Since the judge started.
#[derive(Debug, Default)]
struct Counts {
    /// No token, or a wrong one.
    unknown: AtomicU64,
    /// Another role is needed; or the page of another site asked.
    forbidden: AtomicU64,
    /// Too often.
    limited: AtomicU64,
}

impl Admission {
    #[must_use]
    pub fn new(
        tokens: Option<Arc<Tokens>>,
        peers: Option<Arc<Peers>>,
        clock: fn() -> Millis,
    ) -> Self {
        Self {
            tokens,
            peers,
            hosts: None,
            clock,
            wrong_tokens: Limit::new(WRONG_TOKENS),
            deeds: Limit::new(DEEDS),
            counts: Counts::default(),
            tls: None,
        }
    }

    #[must_use]
    pub fn by_tls(mut self, tls: Option<Arc<ServerTls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Only whoever calls the judge by one of these names, by an address or by a name
    /// without a dot is answered, where no token is asked for.
    #[must_use]
    pub fn known_as(mut self, hosts: Vec<String>) -> Self {
        self.hosts = Some(hosts);
        self
    }

    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.tokens.is_some()
    }

    /// What a Prometheus reads of it.
    pub fn show(&self, page: &mut Page) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.counters(
            "refused_requests",
            "Requests that were not let in: nobody known asked, the role is another, or too often",
            [
                ("unknown", &self.counts.unknown),
                ("forbidden", &self.counts.forbidden),
                ("limited", &self.counts.limited),
            ]
            .map(|(cause, count)| (vec![("cause", cause.to_owned())], of(count))),
        );
        if let Some(tls) = &self.tls {
            page.gauge(
                "certificate_ends_timestamp_seconds",
                "When the certificate ends that this judge shows",
                tls.ends() as f64,
            );
        }
    }

    /// Who asks.
    pub fn admit(&self, request: &Request) -> Result<Admitted, Problem> {
        if !request.method().is_safe() && origin::is_foreign(request) {
            return Err(self.forbidden("a page of another site may not act here".to_owned()));
        }
        let needs = needs::of(request.method(), request.uri().path());
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        let peer = peer.map(|ConnectInfo(peer)| peer);
        let Some(tokens) = &self.tokens else {
            // Another judge calls this one by the name that it gave itself, after it checked
            // by which one it was called.
            if self.by_another_judge(request).is_none() {
                origin::check_host(request, self.hosts.as_deref())?;
            }
            self.limit_deeds(request, needs, None, peer)?;
            return Ok(Admitted::as_who(Caller::anonymous()));
        };
        if needs == Needs::Nothing {
            return Ok(Admitted::default());
        }
        let admitted = self
            .caller(tokens, request, peer)
            .map_err(|wrong| self.unknown(wrong, needs, request, peer))?;
        let Some(caller) = &admitted.caller else {
            return Ok(admitted);
        };
        if !needs.allows(caller.role) {
            let Caller { name, role } = caller;
            return Err(self.forbidden(format!(
                "this needs {}, and `{name}` has the role {role}",
                needs.words()
            )));
        }
        self.limit_deeds(request, needs, Some(caller), peer)?;
        Ok(admitted)
    }

    /// Who asks, by the word of another judge of this database; `None` when no other judge
    /// passed this on.
    fn by_another_judge(&self, request: &Request) -> Option<Caller> {
        let said = request.headers().get(PASSED_ON)?.to_str().ok()?;
        let (method, path) = (request.method().as_str(), path_of(request));
        let peers = self.peers.as_deref()?;
        peers.believe(said, method, path, (self.clock)())
    }

    /// Whose word counts first: another judge's, then a token's, the page's cookie's, and
    /// at last a certificate's, which every request on its connection has.
    fn caller(
        &self,
        tokens: &Arc<Tokens>,
        request: &Request,
        peer: Option<&Peer>,
    ) -> Result<Admitted, Wrong> {
        let headers = request.headers();
        if headers.contains_key(PASSED_ON) {
            let believed = self.by_another_judge(request);
            return believed.map(Admitted::as_who).ok_or(Wrong::Judge);
        }
        let presented = session::bearer(headers).or_else(|| session::in_cookie(headers));
        if let Some(presented) = presented {
            let shown = tokens.shown(presented).ok_or(Wrong::Token)?;
            return Ok(Admitted::by_token(tokens, shown));
        }
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        certificate.map_or(Err(Wrong::Nothing), |name| {
            Ok(Admitted::as_who(Caller {
                name: name.to_owned(),
                role: Role::Proxy,
            }))
        })
    }

    fn unknown(
        &self,
        wrong: Wrong,
        needs: Needs,
        request: &Request,
        peer: Option<&Peer>,
    ) -> Problem {
        count(&self.counts.unknown);
        let what = match wrong {
            Wrong::Nothing => {
                let needs = needs.words();
                return Problem::new(
                    StatusCode::UNAUTHORIZED,
                    format!(
                        "this judge asks who you are: send a token as `Authorization: Bearer ...`; this needs {needs}"
                    ),
                )
                .authenticate("Bearer realm=\"serinus\"");
            }
            Wrong::Token => "the token is not known; it may have been taken out of the file",
            Wrong::Judge => "the judge that passed this on is not one of this database's",
        };
        // A wrong token may be tried by an address so often; a right one always counts.
        let address = address_of(peer);
        if let Err(wait) = self.wrong_tokens.take(&address, Instant::now()) {
            return self.limited(wait, "wrong tokens come from this address too often");
        }
        tracing::warn!(address, path = request.uri().path(), "{what}");
        Problem::new(StatusCode::UNAUTHORIZED, what)
            .authenticate("Bearer realm=\"serinus\", error=\"invalid_token\"")
    }

    /// What proxies send is never limited here: what they count would be lost.
    fn limit_deeds(
        &self,
        request: &Request,
        needs: Needs,
        caller: Option<&Caller>,
        peer: Option<&Peer>,
    ) -> Result<(), Problem> {
        if needs != Needs::Operator || request.method().is_safe() {
            return Ok(());
        }
        // Whoever is on this machine, and is asked for no token, can do worse.
        let local = peer.is_none_or(|peer| peer.address.ip().to_canonical().is_loopback());
        if caller.is_none() && local {
            return Ok(());
        }
        let who = caller.map_or_else(|| address_of(peer), |caller| caller.name.clone());
        self.deeds.take(&who, Instant::now()).map_err(|wait| {
            self.limited(
                wait,
                "more is asked to be done than this judge does at once",
            )
        })
    }

    fn forbidden(&self, detail: String) -> Problem {
        count(&self.counts.forbidden);
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    fn limited(&self, wait: Duration, detail: &str) -> Problem {
        count(&self.counts.limited);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_in(wait)
    }
}

/// Somebody who was let in.
#[derive(Default)]
pub struct Admitted {
    /// `None` for somebody who need not say it.
    pub caller: Option<Caller>,
    /// By which token, as long as it is known.
    pub stay: Option<Stay>,
}

/// How long somebody may stay who was let in by a token.
pub struct Stay {
    tokens: Arc<Tokens>,
    token: Shown,
}

impl Admitted {
    fn as_who(caller: Caller) -> Self {
        Self {
            caller: Some(caller),
            stay: None,
        }
    }

    pub(super) fn by_token(tokens: &Arc<Tokens>, token: Shown) -> Self {
        let tokens = Arc::clone(tokens);
        Self {
            caller: Some(token.caller().clone()),
            stay: Some(Stay { tokens, token }),
        }
    }
}

impl Stay {
    /// Returns when the token is taken out.
    pub async fn ends(self) {
        self.tokens.taken_out(&self.token).await;
    }
}

/// What is wrong with what a caller says of itself.
enum Wrong {
    /// It says nothing.
    Nothing,
    Token,
    Judge,
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// As another judge sealed it.
pub fn path_of(request: &Request) -> &str {
    let uri = request.uri();
    uri.path_and_query()
        .map_or(uri.path(), |both| both.as_str())
}

/// Somebody who has one IPv6 address has 2^64 of them.
fn address_of(peer: Option<&Peer>) -> String {
    match peer.map(|peer| peer.address.ip().to_canonical()) {
        None => "nowhere".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    /// A judge that is asked for nothing passes what it is asked on to this one, by the name
    /// that this one gave itself.
    #[test]
    fn what_another_judge_passes_on_may_come_by_any_name() {
        let own = || Arc::new(Peers::new(b"of one database".to_vec()));
        let admission = Admission::new(None, Some(own()), || 1_000);
        let admission = admission.known_as(vec!["judge.example".to_owned()]);
        let said = |peers: &Peers, path: &str| peers.vouch(&Caller::anonymous(), "GET", path, 900);
        let asked = |host: &str, said: Option<String>| {
            let mut request = Request::builder().uri("/v1/rollouts").header("host", host);
            if let Some(said) = said {
                request = request.header(PASSED_ON, said);
            }
            admission.admit(&request.body(Body::empty()).unwrap())
        };
        let inside = "judge-1.serinus.svc.cluster.local:8090";
        let other = Peers::new(b"of another".to_vec());
        for (host, said, is_let_in) in [
            ("judge.example", None, true),
            (inside, None, false),
            (inside, Some(said(&own(), "/v1/rollouts")), true),
            (inside, Some(said(&own(), "/v1/elsewhere")), false),
            (inside, Some(said(&other, "/v1/rollouts")), false),
            (inside, Some("anything".to_owned()), false),
        ] {
            let admitted = asked(host, said.clone());
            assert_eq!(admitted.is_ok(), is_let_in, "{host}: {said:?}");
        }
    }
}
