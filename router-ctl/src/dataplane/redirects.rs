//! What the kernel could not redirect for the XDP program: counted by a program
//! on a tracepoint, as long as the daemon lives.

use std::{collections::BTreeMap, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, MapInfo, PerCpuArray},
    programs::RawTracePoint,
};
use router_common::abi::names;

use super::{
    Error,
    kernel::refused,
    maps::{failed, take},
    reason::chain,
};

/// The object, part of this binary.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/redirect-errors.o"));

const TRACEPOINT: &str = "xdp_redirect_err";

/// A program that counts. Dropping it ends that.
pub(super) struct RedirectErrors {
    counters: PerCpuArray<MapData, u64>,
    /// Holds the program and its attachment.
    _object: Ebpf,
}

impl std::fmt::Debug for RedirectErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedirectErrors").finish_non_exhaustive()
    }
}

impl RedirectErrors {
    /// Counts for the device map that is pinned here, from now on.
    ///
    /// # Errors
    /// If the kernel refuses, or has no such tracepoint.
    pub(super) fn watch(ports: &Path) -> Result<Self, Error> {
        const NAME: &str = names::PROGRAM_REDIRECT_ERRORS;
        let id = MapInfo::from_pin(ports)
            .map_err(|error| failed(names::TX_PORTS)(error))?
            .id();
        let mut object = EbpfLoader::new()
            .btf(None)
            .load(OBJECT)
            .map_err(|error| Error::Object(chain(&error)))?;
        let mut target: Array<MapData, u32> = take(&mut object, names::REDIRECT_MAP)?;
        target.set(0, id, 0).map_err(failed(names::REDIRECT_MAP))?;
        let counters = take(&mut object, names::REDIRECT_ERRORS)?;
        let program = object.program_mut(NAME).ok_or_else(|| Error::Program {
            program: NAME,
            reason: "missing from the object".into(),
        })?;
        let program: &mut RawTracePoint =
            program.try_into().map_err(|error| refused(NAME, &error))?;
        program.load().map_err(|error| refused(NAME, &error))?;
        program
            .attach(TRACEPOINT)
            .map_err(|error| refused(NAME, &error))?;
        Ok(Self {
            counters,
            _object: object,
        })
    }

    /// Frames that were lost, by error number; 0: any that has no number here.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub(super) fn counts(&self) -> Result<BTreeMap<u32, u64>, Error> {
        let mut counts = BTreeMap::new();
        for (number, values) in (0..).zip(self.counters.iter()) {
            let values = values.map_err(failed(names::REDIRECT_ERRORS))?;
            let sum: u64 = values.iter().sum();
            if sum > 0 {
                counts.insert(number, sum);
            }
        }
        Ok(counts)
    }
}
