//! The object as such: what it costs the verifier, what its maps cost the host.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapInfo},
    programs::Xdp,
};
use router_ctl::dataplane::OBJECT;

/// The object in the kernel, as it is: maps of the largest size, attached to
/// nothing.
#[derive(Debug)]
pub struct Object(Ebpf);

impl Object {
    /// Creates the maps.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn load() -> Result<Self> {
        let bpf = EbpfLoader::new().btf(None).load(OBJECT);
        Ok(Self(bpf.context("load the object")?))
    }

    /// Has the verifier look at a program: instructions verified (0: the kernel does
    /// not say, before 5.16), and size of
    /// the translated program in bytes.
    ///
    /// # Errors
    /// When it does not like what it sees.
    pub fn verify(&mut self, program: &str) -> Result<(u32, u32)> {
        let xdp: &mut Xdp = self
            .0
            .program_mut(program)
            .with_context(|| format!("find program {program}"))?
            .try_into()?;
        xdp.load().context("verify the program")?;
        let info = xdp.info()?;
        Ok((
            info.verified_instruction_count().unwrap_or(0),
            info.size_translated().context("the translated size")?,
        ))
    }

    /// Id of a map, for bpftool.
    ///
    /// # Errors
    /// When the map is not there.
    pub fn map_id(&self, name: &str) -> Result<u32> {
        let map = self.0.map(name);
        let map = map.with_context(|| format!("find map {name}"))?;
        let (Map::Array(data)
        | Map::HashMap(data)
        | Map::DevMap(data)
        | Map::DevMapHash(data)
        | Map::PerCpuArray(data)) = map
        else {
            bail!("{name} is of an unexpected kind");
        };
        Ok(data.info()?.id())
    }

    /// Memory of a map in bytes, as the kernel accounts it.
    ///
    /// # Errors
    /// When the map is not there.
    pub fn map_memory(&self, name: &str) -> Result<u64> {
        let fd = MapInfo::from_id(self.map_id(name)?)?.fd()?;
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("memlock:"))
            .context("find memlock")?;
        Ok(line.trim().parse()?)
    }
}
