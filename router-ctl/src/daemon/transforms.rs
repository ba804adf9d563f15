//! IPsec policies: where there are some that what is forwarded has to pass, the
//! kernel forwards alone, and status says so; so it does of rules that XDP cannot
//! obey.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{configure::has_xdp, engine::Engine};
use crate::{
    api::model::Problem,
    config::Config,
    netlink::{Error, Policies, Transforms},
};

/// Reading them may take a quarter of the time, no more.
const REST: u32 = 3;

/// What is known of the policies, and how to hear of others.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    policies: Policies,
    found: Transforms,
    /// Something was announced since they were read.
    stale: bool,
    /// They are not read again before.
    rested: Option<Instant>,
    /// The kernel refuses to tell: said once.
    refused: bool,
}

impl Guarded {
    /// The families that the kernel forwards alone.
    pub(super) const fn found(&self) -> Transforms {
        self.found
    }

    /// Waits for an announcement. Can be cancelled.
    pub(super) async fn changed(&mut self) {
        let heard = self.policies.changed().await;
        if let Err(error) = heard {
            warn!(%error, "IPsec policies");
        }
        self.stale = true;
    }

    /// Reads them, unless there is nothing new. Whether it is another matter now.
    fn look(&mut self, now: Instant) -> bool {
        let resting = self.rested.is_some_and(|rested| now < rested);
        if self.policies.hears() && (!self.stale || resting) {
            return false;
        }
        self.stale = false;
        let looked = self.policies.look();
        self.rested = Some(now + now.elapsed().max(Duration::from_millis(1)) * REST);
        self.take(looked)
    }

    fn take(&mut self, looked: Result<Transforms, Error>) -> bool {
        let found = match looked {
            Ok(found) => {
                self.refused = false;
                found
            }
            // There may be some.
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    warn!(%error, "cannot read the IPsec policies: the kernel forwards alone");
                }
                Transforms::ALL
            }
        };
        let changed = found != self.found;
        if changed {
            info!(?found, "IPsec policies");
        }
        self.found = found;
        changed
    }

    /// What users should know, given who has XDP.
    pub(super) fn warning(&self, config: &Config) -> Option<Problem> {
        if !has_xdp(config) {
            return None;
        }
        let family = match self.found {
            Transforms {
                v4: false,
                v6: false,
            } => return None,
            Transforms { v6: false, .. } => "IPv4",
            Transforms { v4: false, .. } => "IPv6",
            Transforms { .. } => "IPv4 and IPv6",
        };
        Some(Problem {
            message: format!(
                "the kernel forwards {family} alone: what it forwards has to pass IPsec policies, \
                 which XDP does not know"
            ),
            help:
                "`ip xfrm policy` shows them: without policies of the directions fwd and out XDP \
                   forwards again"
                    .into(),
        })
    }
}

/// What users should know of an IPv6 rule with `suppress_prefixlength` or
/// `suppress_ifgroup`: so does every host of wg-quick.
pub(super) fn suppression() -> Problem {
    Problem {
        message: "the kernel forwards IPv6 alone: a rule suppresses routes, which XDP cannot"
            .into(),
        help: "`ip -6 rule` shows it: without suppress_prefixlength and suppress_ifgroup XDP \
               forwards again"
            .into(),
    }
}

impl Engine {
    /// After an announcement, and each second: has something been changed?
    pub(super) fn look_at_policies(&mut self) {
        let now = Instant::now();
        if self.guarded.look(now) {
            self.want(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_may_be_there() {
        let mut guarded = Guarded::default();
        let config = |xdp: &str| {
            let network = "[[network]]\nname = \"a\"\nvlan = 7\n";
            let text = format!("[[trunk]]\ninterface = \"eth0\"\n{xdp}{network}");
            Config::parse("r.toml", &text).unwrap()
        };
        let without = config("xdp = \"off\"\n");
        let config = config("");
        assert_eq!(guarded.warning(&config), None);
        let v4 = Transforms {
            v4: true,
            v6: false,
        };
        assert!(guarded.take(Ok(v4)));
        assert!(!guarded.take(Ok(v4)));
        let message = guarded.warning(&config).unwrap().message;
        assert!(
            message.starts_with("the kernel forwards IPv4 alone"),
            "{message}"
        );
        assert!(guarded.take(Err(Error::Broken)));
        assert_eq!(guarded.found(), Transforms::ALL);
        let message = guarded.warning(&config).unwrap().message;
        assert!(message.contains("IPv4 and IPv6 alone"), "{message}");
        assert_eq!(guarded.warning(&without), None, "it is so anyway");
    }
}
