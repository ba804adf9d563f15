//! Doing things to the system, and undoing them.
//!
//! Invariant: whatever is changed outside the maps goes through
//! [`Host::perform`], which writes it to the journal first.
//!
//! Several instances may share a network namespace, and a forwarding sysctl has
//! one value for all of them. What another one has done is noted in our journal
//! as well ([`Host::claim`]), and what another one's journal holds is not undone
//! under it: the last one to go puts back what was there before the first.

mod act;
mod rehearsal;
mod undo;

use std::{collections::BTreeSet, path::Path};

use ipnet::IpNet;
use router_common::wire::IfIndex;
use tracing::{debug, info};

pub(super) use self::rehearsal::Rehearsal;
use super::{fail, saved::Saved, supervisor::Progress};
use crate::{
    codes,
    dataplane::PinDir,
    error::{Error, Kind},
    journal::{Announced, Effect, Entry, Journal, System},
    netlink::{
        self, Netlink,
        types::{Link, RouteChange, RouteSpec, Tables},
    },
    sys,
    sysctl::Sysctls,
};

/// Routes that are announced at a time.
const TOGETHER: usize = 512;

/// The system, with the journal of what was done to it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) netlink: Netlink,
    pub(super) sysctls: Sysctls,
    pub(super) journal: Journal,
    pub(super) instance: String,
    pub(super) saved: Saved,
    system: System,
    /// What the journals of other instances held when they were last read.
    others: Vec<Entry>,
    /// Nothing is done: it is noted what would be.
    rehearsal: Option<Rehearsal>,
    progress: Progress,
    /// What is done, where somebody wants to know.
    done: Option<Vec<String>>,
}

impl Host {
    /// The system that this process is in.
    ///
    /// # Errors
    /// If the kernel does not answer, or the journal cannot be used.
    pub(super) fn open(state_dir: &Path, instance: &str) -> Result<Self, Error> {
        let system = System::current().map_err(|error| {
            fail::io(codes::JOURNAL, "cannot tell which system this is", &error)
        })?;
        let netlink = Netlink::connect().map_err(|error| {
            let what = "cannot talk to the kernel over netlink";
            fail::refused(codes::NETLINK, what, &error)
        })?;
        let path = Journal::path(state_dir, instance);
        let journal =
            Journal::open(&path, &system).map_err(|error| fail::journal_of(instance, &error))?;
        Ok(Self {
            netlink,
            sysctls: Sysctls::default(),
            journal,
            instance: instance.to_owned(),
            saved: Saved::open(state_dir, instance),
            system,
            others: Vec::new(),
            rehearsal: None,
            progress: Progress::new(),
            done: None,
        })
    }

    /// Does something, journalled.
    pub(super) async fn perform(&mut self, effect: Effect) -> Result<(), Error> {
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.would_do(&effect);
            return Ok(());
        }
        info!(?effect, "doing");
        self.progress.made();
        let device = self.device_named_by(&effect).await?;
        let announced = self.announce(effect.clone(), device)?;
        let acted = self.act(&effect, device).await;
        if acted.is_ok() {
            self.tell(|| effect.doing());
        }
        match acted {
            Ok(None) => Ok(()),
            Ok(Some(device)) => self
                .journal
                .made(announced.id, device)
                .map_err(|error| fail::journal(&error)),
            Err(error) => {
                if announced.first {
                    self.retract(announced.id)?;
                }
                Err(error)
            }
        }
    }

    /// From now on it is noted what is done.
    pub(super) fn begin_telling(&mut self) {
        self.done = Some(Vec::new());
    }

    /// What was done since, in order.
    pub(super) fn end_telling(&mut self) -> Vec<String> {
        self.done.take().unwrap_or_default()
    }

    /// Notes what was done.
    pub(super) fn tell(&mut self, step: impl FnOnce() -> String) {
        if let Some(done) = &mut self.done {
            done.push(step());
        }
    }

    /// Gives a device an address that it has, once more. Whose it was before it
    /// still is.
    pub(super) async fn give_anew(&mut self, effect: Effect) -> Result<(), Error> {
        let Effect::Address { address, .. } = &effect else {
            return Ok(());
        };
        let address = *address;
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.would_do(&effect);
            return Ok(());
        }
        info!(?effect, "once more");
        let device = self.device_named_by(&effect).await?;
        // A daemon that dies between the two has it in its journal.
        let announced = self.announce(effect.clone(), device)?;
        if let Some(device) = device {
            // One that has gone meanwhile is given all the same.
            match self.netlink.delete_address(device, address).await {
                Err(error) if !error.is_missing() => {
                    return Err(refused(format!("cannot take {address} away"), &error));
                }
                _ => {}
            }
        }
        self.act(&effect, device).await?;
        self.tell(|| effect.doing());
        if announced.first {
            self.retract(announced.id)?;
        }
        Ok(())
    }

    /// Whether the kernel has IPv6, but not on this interface.
    pub(super) fn has_no_ipv6(&self, interface: &str) -> bool {
        let name = format!("ipv6/conf/{interface}/disable_ipv6");
        let off = self.sysctls.read(&name);
        off.is_ok_and(|off| off.as_deref() == Some("1"))
    }

    /// Changes a route of the main table, journalled. The inner result is the
    /// kernel's word.
    pub(super) async fn change_route(
        &mut self,
        change: RouteChange,
        spec: &RouteSpec,
        configured: bool,
    ) -> Result<Result<(), netlink::Error>, Error> {
        if change == RouteChange::Delete {
            let deleted = self.netlink.change_route(change, spec).await;
            if deleted.is_ok() {
                self.forget_route(spec)?;
            }
            return Ok(deleted);
        }
        let effect = Effect::Route {
            dst: spec.dst.trunc(),
            metric: spec.metric,
            configured,
        };
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.would_do(&effect);
            return Ok(Ok(()));
        }
        let announced = self.announce(effect, None)?;
        let changed = self.netlink.change_route(change, spec).await;
        if changed.is_err() && announced.first {
            self.retract(announced.id)?;
        }
        Ok(changed)
    }

    /// Installs routes of the configuration, journalled together: thousands of
    /// them wait for the disk a few times.
    ///
    /// # Errors
    /// The first that the kernel refused; those before it are installed.
    pub(super) async fn install_routes(
        &mut self,
        routes: &[(RouteChange, RouteSpec)],
    ) -> Result<(), Error> {
        for together in routes.chunks(TOGETHER) {
            self.install_together(together).await?;
        }
        Ok(())
    }

    async fn install_together(&mut self, routes: &[(RouteChange, RouteSpec)]) -> Result<(), Error> {
        let effects = routes.iter().map(|(_, spec)| configured_route(spec));
        if let Some(rehearsal) = &mut self.rehearsal {
            effects.for_each(|effect| rehearsal.would_do(&effect));
            return Ok(());
        }
        let effects = effects.map(|effect| (effect, None)).collect();
        let announced = self.journal.announce_all(effects);
        let announced = announced.map_err(|error| fail::journal(&error))?;
        for (at, (change, spec)) in routes.iter().enumerate() {
            self.progress.made();
            let Err(refused) = self.netlink.change_route(*change, spec).await else {
                self.tell(|| configured_route(spec).doing());
                continue;
            };
            // Neither this one nor those behind it were done.
            for announced in announced[at..].iter().filter(|announced| announced.first) {
                self.journal
                    .undone(announced.id)
                    .map_err(|error| fail::journal(&error))?;
            }
            self.journal.sync().map_err(|error| fail::journal(&error))?;
            return Err(fail::refused(
                codes::ROUTE_REFUSED,
                format!("cannot install the route to {}", spec.dst),
                &refused,
            ));
        }
        Ok(())
    }

    /// Notes that a route of ours is gone.
    fn forget_route(&mut self, spec: &RouteSpec) -> Result<(), Error> {
        let gone: Vec<_> = self
            .journal
            .entries()
            .iter()
            .filter(|entry| is_route(&entry.effect, spec))
            .map(|entry| entry.id)
            .collect();
        gone.into_iter().try_for_each(|id| self.retract(id))
    }

    /// Notes something that another effect will do along with its own.
    pub(super) async fn note(&mut self, effect: Effect) -> Result<(), Error> {
        if self.rehearsal.is_some() {
            return Ok(());
        }
        let device = self.device_named_by(&effect).await?;
        self.announce(effect, device).map(|_| ())
    }

    /// Notes routes of the configuration that are in their places already, where
    /// `routes add` made them.
    pub(super) fn note_routes(&mut self, specs: &[RouteSpec]) -> Result<(), Error> {
        if self.rehearsal.is_some() {
            return Ok(());
        }
        let entries = self.journal.entries().iter();
        let users: BTreeSet<(IpNet, u32)> = entries
            .filter_map(|entry| match entry.effect {
                Effect::Route {
                    dst,
                    metric,
                    configured: false,
                } => Some((dst, metric)),
                _ => None,
            })
            .collect();
        let becoming = specs
            .iter()
            .filter(|spec| users.contains(&(spec.dst.trunc(), spec.metric)));
        let effects = becoming
            .map(|spec| (configured_route(spec), None))
            .collect();
        let announced = self.journal.announce_all(effects);
        announced.map(drop).map_err(|error| fail::journal(&error))
    }

    /// Reads anew what other instances in this network namespace have done.
    pub(super) fn ask_others(&mut self) -> Result<(), Error> {
        self.others = self.journal.of_others(&self.system).map_err(|error| {
            fail::io(
                codes::JOURNAL,
                "cannot read the journals of other instances",
                &error,
            )
        })?;
        Ok(())
    }

    /// Something is as it has to be. If another instance has made it so, it is
    /// noted here, too, with what was there before.
    pub(super) fn claim(&mut self, chosen: impl Fn(&Entry) -> bool) -> Result<(), Error> {
        if self.rehearsal.is_some() {
            return Ok(());
        }
        let others = std::mem::take(&mut self.others);
        let theirs = others
            .iter()
            .filter(|entry| entry.effect.is_shared() && chosen(entry));
        let mut noted = Ok(());
        for entry in theirs {
            noted = noted.and(
                self.announce(entry.effect.clone(), entry.device)
                    .map(|_| ()),
            );
        }
        self.others = others;
        noted
    }

    /// Undoes what the journal holds from entry `from` on, the last first, and
    /// goes on after failures, which are returned.
    pub(super) async fn undo_from(&mut self, from: u64) -> Vec<Error> {
        self.undo_where(|entry| entry.id >= from).await
    }

    /// Undoes the entries that are chosen, the last first.
    pub(super) async fn undo_where(&mut self, chosen: impl Fn(&Entry) -> bool) -> Vec<Error> {
        let entries: Vec<Entry> = self.journal.entries().to_vec();
        let chosen = entries.iter().rev().filter(|entry| chosen(entry));
        if self.rehearsal.is_some() {
            return self.rehearse_undoing(chosen).await;
        }
        let mut failures = Vec::new();
        failures.extend(self.ask_others().err());
        let mut unwritten = Vec::new();
        for entry in chosen {
            debug!(effect = ?entry.effect, "undoing");
            self.progress.made();
            let undone = if self.is_held_by_others(entry) {
                info!(effect = ?entry.effect, "another instance has use for it: left as it is");
                Ok(())
            } else {
                self.undo(entry).await
            };
            match undone {
                Ok(()) => {
                    self.tell(|| entry.effect.undoing());
                    unwritten.extend(self.journal.undone(entry.id).err());
                }
                Err(error) => failures.push(error),
            }
        }
        // Once for all of them: until then they are undone again, at worst.
        unwritten.extend(self.journal.sync().err());
        // A journal in which nothing is left is removed: nothing need be
        // written for that.
        if !self.journal.entries().is_empty() {
            failures.extend(unwritten.iter().map(fail::journal));
        }
        failures
    }

    fn is_held_by_others(&self, entry: &Entry) -> bool {
        let same = |other: &Entry| other.is_about(&entry.effect, entry.device);
        entry.effect.is_shared() && self.others.iter().any(same)
    }

    /// The device of this name.
    pub(super) async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        let found = self
            .netlink
            .link(name)
            .await
            .map_err(|error| unreadable(&error))?;
        Ok(found.filter(|link| !self.is_rehearsed_gone(link.ifindex)))
    }

    /// The device of this number.
    async fn link_of(&self, device: IfIndex) -> Result<Option<Link>, Error> {
        self.netlink
            .link_of(device)
            .await
            .map_err(|error| unreadable(&error))
    }

    async fn number_of(&self, name: &str) -> Result<Option<IfIndex>, Error> {
        Ok(self.link(name).await?.map(|link| link.ifindex))
    }

    async fn device_named_by(&self, effect: &Effect) -> Result<Option<IfIndex>, Error> {
        match effect.device() {
            Some(name) => self.number_of(name).await,
            None => Ok(None),
        }
    }

    /// Devices and addresses: routes may be many.
    pub(super) async fn devices(&self) -> Result<Tables, Error> {
        let failed = |error| unreadable(&error);
        let mut tables = Tables {
            links: self.netlink.links().await.map_err(failed)?,
            addresses: self.netlink.addresses().await.map_err(failed)?,
            ..Tables::default()
        };
        self.leave_out_the_gone(&mut tables);
        Ok(tables)
    }

    /// Everything.
    pub(super) async fn tables(&self) -> Result<Tables, Error> {
        let mut tables = self
            .netlink
            .tables()
            .await
            .map_err(|error| unreadable(&error))?;
        self.leave_out_the_gone(&mut tables);
        Ok(tables)
    }

    fn announce(&mut self, effect: Effect, device: Option<IfIndex>) -> Result<Announced, Error> {
        self.journal
            .announce(effect, device)
            .map_err(|error| fail::journal(&error))
    }

    /// Notes that an effect is undone, or did not come about.
    pub(super) fn retract(&mut self, id: u64) -> Result<(), Error> {
        self.journal
            .undone(id)
            .and_then(|()| self.journal.sync())
            .map_err(|error| fail::journal(&error))
    }

    /// Where this instance's pins are.
    pub(super) fn pins(&self, bpffs: &Path) -> PinDir {
        PinDir::new(bpffs, &self.instance)
    }

    /// Ends the journal, if everything in it is undone.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.journal.finish().map_err(|error| fail::journal(&error))
    }
}

fn configured_route(spec: &RouteSpec) -> Effect {
    Effect::Route {
        dst: spec.dst.trunc(),
        metric: spec.metric,
        configured: true,
    }
}

fn is_route(effect: &Effect, spec: &RouteSpec) -> bool {
    matches!(effect, Effect::Route { dst, metric, .. }
        if *dst == spec.dst.trunc() && *metric == spec.metric)
}

fn refused(message: String, error: &netlink::Error) -> Error {
    fail::refused(codes::INTERFACE_REFUSED, message, error)
}

/// Switches an offload, and looks whether it obeys: drivers may answer yes and
/// do nothing.
fn set_offload(interface: &str, offload: sys::Offload, on: bool) -> Result<(), Error> {
    let word = if on { "on" } else { "off" };
    let what = || format!("cannot switch {} of {interface} {word}", offload.name());
    let failed = |error: std::io::Error| fail::io(codes::OFFLOAD, what(), &error);
    sys::set_offload(interface, offload, on).map_err(failed)?;
    if sys::offload(interface, offload).map_err(failed)? != on {
        return Err(Error::new(Kind::Failed, codes::OFFLOAD, what())
            .cause("the driver leaves it as it is")
            .help(format!("ethtool -k {interface} shows what is fixed")));
    }
    Ok(())
}

fn unreadable(error: &netlink::Error) -> Error {
    fail::refused(codes::NETLINK, "cannot read the kernel's tables", error)
}
