//! Packets without a table: whatever XDP forwards, the kernel forwards, too,
//! to the same network with the same bytes.

use super::{Network, Scene, XDP_PASS, XDP_REDIRECT, XDP_TX};
use crate::packet::Frame;

/// What XDP did with a packet on which it and the kernel agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Both forward it to this network.
    Forwarded(Network),
    /// XDP left it to the kernel, byte-identical.
    Passed,
}

impl Scene {
    /// Runs a frame that came in on `from` (tagged as that network's are) and
    /// compares with the kernel where XDP forwards it.
    ///
    /// # Errors
    /// What XDP did that the kernel does not, in words.
    ///
    /// # Panics
    /// When the kernel refuses to run the frame.
    pub fn agree(&self, from: Network, frame: &Frame) -> Result<Agreement, String> {
        let input = frame.bytes();
        let outcome = self.router.run(&input).unwrap_or_else(|e| panic!("{e:?}"));
        if outcome.action == XDP_PASS {
            return if outcome.bytes == input {
                Ok(Agreement::Passed)
            } else {
                Err(format!(
                    "passed up, but not untouched: {:02x?}",
                    outcome.bytes
                ))
            };
        }
        let bytes = &outcome.bytes;
        let to = Network::ALL
            .into_iter()
            .find(|network| bytes[6..12] == network.gateway_mac())
            .ok_or_else(|| format!("leaves from nobody's MAC: {bytes:02x?}"))?;
        let expected_action = if to.trunk() == from.trunk() {
            XDP_TX
        } else {
            XDP_REDIRECT
        };
        if outcome.action != expected_action {
            return Err(format!("action {} towards {to:?}", outcome.action));
        }
        let untagged = untag(bytes, to)?;
        let came = self
            .wires
            .exchange(from, &frame.clone().tags(&[]).bytes(), true);
        let [(network, theirs)] = came.as_slice() else {
            return Err(format!(
                "XDP forwards to {to:?}, the kernel lets out {came:02x?}"
            ));
        };
        // The kernel trims what is behind the packet.
        let trimmed = untagged.get(..theirs.len()).unwrap_or(&untagged);
        if *network != to || trimmed != theirs {
            return Err(format!(
                "to {to:?} XDP    {untagged:02x?}\nto {network:?} kernel {theirs:02x?}"
            ));
        }
        Ok(Agreement::Forwarded(to))
    }
}

/// Without the tag that frames of `network` must carry.
fn untag(frame: &[u8], network: Network) -> Result<Vec<u8>, String> {
    let Some(tag) = network.tag() else {
        return Ok(frame.to_vec());
    };
    let expected = [tag.tpid.to_be_bytes(), tag.vid.to_be_bytes()].concat();
    if frame[12..16] != expected {
        return Err(format!(
            "leaves without the tag of {network:?}: {frame:02x?}"
        ));
    }
    Ok([&frame[..12], &frame[16..]].concat())
}
