//! The packet path and the map layouts of router-ctl, as plain `no_std` Rust.
//!
//! Nothing here knows aya, the kernel or the host: the same code is compiled
//! into the XDP program (`router-ebpf`), the daemon (`router-ctl`) and the
//! tests.
//!
//! * [`datapath`] - what happens to one frame, from its first byte to its verdict
//! * [`abi`] - keys and values of the maps that daemon and program share
//! * [`wire`] - views of Ethernet, 802.1Q, IPv4 and IPv6 headers
//! * [`checksum`] - the Internet checksum
#![no_std]

pub mod abi;
pub mod checksum;
pub mod datapath;
pub mod wire;
