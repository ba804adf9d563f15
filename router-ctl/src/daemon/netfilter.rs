//! What netfilter would drop, and XDP does not show it.

use tracing::warn;

use super::{configure::has_xdp, engine::Engine};
use crate::{
    api::model::Problem,
    config::Config,
    netlink::{DroppingChain, ForwardChains},
};

/// The chains that are known, and how to hear of others.
#[derive(Debug, Default)]
pub(super) struct Netfilter {
    chains: ForwardChains,
    dropping: Vec<DroppingChain>,
    /// The kernel refuses to tell: said once.
    refused: bool,
}

impl Netfilter {
    /// What users should know, given who has XDP.
    pub(super) fn warnings(&self, config: &Config) -> Vec<Problem> {
        if !has_xdp(config) {
            return Vec::new();
        }
        self.dropping.iter().map(warning).collect()
    }

    fn look(&mut self) {
        match self.chains.look() {
            Ok(None) => {}
            Ok(Some(found)) => {
                self.refused = false;
                self.dropping = found;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    warn!(%error, "cannot tell what netfilter drops");
                }
            }
        }
    }
}

fn warning(chain: &DroppingChain) -> Problem {
    let DroppingChain {
        family,
        table,
        name,
    } = chain;
    Problem {
        message: format!(
            "netfilter drops what it forwards unless a rule accepts it (policy of chain {family} \
             {table} {name}), and what XDP forwards goes around it"
        ),
        help: format!(
            "nft list chain {family} {table} {name}; accept there what goes between the networks, \
             or, to have it filtered, set `xdp = \"off\"` for the trunk"
        ),
    }
}

impl Engine {
    /// Each second: has something been changed?
    pub(super) fn look_at_netfilter(&mut self) {
        self.netfilter.look();
        let warnings = self.warnings(&self.shared.config());
        self.shared.known().warnings = warnings;
    }
}
