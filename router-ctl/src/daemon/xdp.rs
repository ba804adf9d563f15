//! Looking after XDP once a second: pins that were removed, trunks that were made
//! anew, and the journal, by which all of it is undone. (The kernel does not announce that a bpf_link was detached either:
//! the follower looks at the trunks.)

use std::{collections::BTreeMap, path::Path, sync::Arc};

use router_common::wire::TrunkSlot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{attach, bringup, engine::Engine};
use crate::{
    api::model::Problem,
    codes,
    config::{Trunk, XdpMode},
    dataplane,
    error::Error,
    instance::router_ctl,
    journal,
    netlink::types::Link,
    sys,
};

/// What looking after found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Care {
    /// Why not everything is pinned.
    pub(super) pin_failure: Option<Problem>,
    /// Why the journal is not what it should be.
    pub(super) journal_failure: Option<Problem>,
    /// By trunk: why it could not be attached to when it was made anew.
    pub(super) attach_failures: BTreeMap<String, String>,
    /// What is lost between two trunks, as a problem.
    pub(super) losses: Option<Problem>,
}

impl Engine {
    /// Pins what has lost its pin, and attaches to trunks that were made anew.
    pub(super) async fn look_after_xdp(&mut self) {
        let mut changed = self.mend_pins();
        changed |= self.mend_journal();
        changed |= self.look_for_losses();
        let config = self.shared.config();
        let numbering = self.shared.known().numbering.clone();
        for (slot, trunk) in numbering.slots(&config) {
            if trunk.xdp != XdpMode::Off {
                changed |= self.look_after_trunk(slot, trunk).await;
            }
        }
        if changed {
            self.look_again();
        }
    }

    fn look_for_losses(&mut self) -> bool {
        let counted = self
            .shared
            .dataplane()
            .as_ref()
            .map(|d| d.redirect_errors());
        // Not known, or a map cannot be read: that is told elsewhere.
        let Some(Ok(Some(counts))) = counted else {
            return false;
        };
        let losses = self
            .losses
            .look(&self.host.instance, &counts, Instant::now());
        let changed = losses != self.care.losses;
        self.care.losses = losses;
        changed
    }

    /// Should the daemon die now, `down` would know nothing of what is not there.
    fn mend_journal(&mut self) -> bool {
        let failure = self.host.journal.provide().err();
        let failure = failure
            .map(|error| journal_problem(&self.host.instance, &error))
            .or_else(|| {
                let error = self.host.saved.provide().err()?;
                Some(Problem {
                    message: error.to_string(),
                    help: error.help.unwrap_or_else(|| {
                        "mend what it names: it is tried again every second".into()
                    }),
                })
            });
        let changed = failure != self.care.journal_failure;
        if changed && let Some(failure) = &failure {
            warn!("{}", failure.message);
        }
        self.care.journal_failure = failure;
        changed
    }

    fn mend_pins(&mut self) -> bool {
        let failure = match self.shared.dataplane().as_mut().map(|d| d.mend_pins()) {
            None => None,
            Some(Ok(mended)) => {
                for path in mended {
                    warn!("{} was removed: pinned again", path.display());
                }
                None
            }
            Some(Err(error)) => {
                let bpffs = &self.aside.bpffs.path;
                let gone = matches!(sys::is_bpffs(bpffs), Ok(false));
                let gone = gone.then_some(bpffs.as_path());
                Some(pin_problem(&self.host.instance, gone, &error))
            }
        };
        let changed = failure != self.care.pin_failure;
        if changed && let Some(failure) = &failure {
            warn!("{}", failure.message);
        }
        self.care.pin_failure = failure;
        changed
    }

    async fn look_after_trunk(&mut self, slot: TrunkSlot, trunk: &Trunk) -> bool {
        let Some(link) = self.follower.mirror().link_named(&trunk.interface).cloned() else {
            return false;
        };
        let attached_to = {
            let dataplane = self.shared.dataplane();
            let attachment = dataplane.as_ref().and_then(|d| d.attachment(slot));
            attachment.map(|attachment| attachment.ifindex)
        };
        let name = &trunk.interface;
        if attached_to == Some(link.ifindex) {
            return self.care.attach_failures.remove(name).is_some();
        }
        // It is tried every second, and said once.
        let before = self.care.attach_failures.get(name).cloned();
        if before.is_none() {
            info!("{name} was made anew: attaching");
        }
        let Err(error) = self.attach_anew(slot, trunk, link).await else {
            self.care.attach_failures.remove(name);
            return true;
        };
        let failure = error.to_string();
        if before.as_ref() == Some(&failure) {
            return false;
        }
        warn!(%failure, "cannot attach to {name}, which was made anew");
        self.care.attach_failures.insert(name.clone(), failure);
        true
    }

    /// A trunk that was deleted and made anew is like any trunk at the start.
    async fn attach_anew(
        &mut self,
        slot: TrunkSlot,
        trunk: &Trunk,
        link: Link,
    ) -> Result<(), Error> {
        let tables = self.host.devices().await?;
        bringup::prepare_trunk(trunk, &tables, &mut self.host).await?;
        let shared = Arc::clone(&self.shared);
        attach::attach_trunk(slot, trunk, &link, &shared, &mut self.host, false).await
    }
}

/// What is not ours is told and left alone, as at a start. `unmounted`: where the
/// bpffs was.
pub(super) fn pin_problem(
    instance: &str,
    unmounted: Option<&Path>,
    error: &dataplane::Error,
) -> Problem {
    let help = match (unmounted, error) {
        (Some(bpffs), _) => format!(
            "mount -t bpf bpf {}; what belongs there is pinned again by itself",
            bpffs.display()
        ),
        (None, dataplane::Error::ForeignPin { path, .. }) => format!(
            "if nobody needs it: rm {}; what belongs there is pinned again by itself (`router-ctl explain {}`)",
            path.display(),
            codes::FOREIGN_PIN
        ),
        _ => format!("restart the daemon (`{} run`)", router_ctl(instance)),
    };
    Problem {
        message: format!("XDP would not outlive the daemon: {error}"),
        help,
    }
}

pub(super) fn journal_problem(instance: &str, error: &journal::Error) -> Problem {
    let help = match error {
        journal::Error::Locked { path } => format!(
            "see who has it: fuser {}; two daemons of one instance undo each other's work",
            path.display()
        ),
        _ => "make room there, or make it writable: it is written anew by itself".to_owned(),
    };
    Problem {
        message: format!(
            "`{} down` could not put everything back: {error}",
            router_ctl(instance)
        ),
        help,
    }
}
