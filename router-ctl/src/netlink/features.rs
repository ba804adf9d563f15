//! What a device's driver does for XDP: the kernel tells since 6.3, by generic
//! netlink.
//!
//! Layout: include/uapi/linux/{genetlink,netdev}.h; numbers are in the byte order
//! of the host.

use std::io;

use router_common::wire::IfIndex;
use rtnetlink::sys::protocols::NETLINK_GENERIC;

use super::{Error, asking, raw};

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROL: u16 = 16;
/// `CTRL_CMD_GETFAMILY`.
const GET_FAMILY: u8 = 3;
/// `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_FAMILY_NAME`.
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NETDEV_FAMILY_NAME`.
const NETDEV: &[u8] = b"netdev\0";
/// `NETDEV_CMD_DEV_GET`.
const GET_DEVICE: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX`, `NETDEV_A_DEV_XDP_FEATURES`.
const DEVICE_INDEX: u16 = 1;
const DEVICE_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_NDO_XMIT_SG`.
const SENDS_BUFFERS: u64 = 1 << 6;

/// `struct genlmsghdr`: command, version, nothing.
const GENERIC: usize = 4;

/// Whether the driver sends frames in several buffers that XDP redirects to the
/// device. No kernel before 6.3 takes one.
///
/// # Errors
/// If there is no such device, and the kernel's own.
pub fn xdp_sends_buffers(device: IfIndex) -> Result<bool, Error> {
    let named = request(CONTROL, GET_FAMILY, FAMILY_NAME, NETDEV);
    let Some(family) = ask(&named, family_id)? else {
        return Ok(false);
    };
    let index = device.get().to_ne_bytes();
    let features = ask(&request(family, GET_DEVICE, DEVICE_INDEX, &index), features)?;
    match features {
        Some(features) => Ok(features & SENDS_BUFFERS != 0),
        None => Err(io::Error::from_raw_os_error(libc::ENODEV).into()),
    }
}

/// Sends a request; what `read` finds in the answer, or `None` where the kernel
/// knows nothing of the kind.
fn ask<T>(request: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Error> {
    let mut found = None;
    let asked = asking::ask(NETLINK_GENERIC, request, |message| {
        found = message.payload().get(GENERIC..).and_then(&read);
    });
    match asked {
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
        Ok(()) if found.is_none() => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        Ok(()) => Ok(found),
    }
}

/// A request with one attribute.
fn request(family: u16, command: u8, attribute: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut payload = vec![command, 1, 0, 0];
    // Names of families and device numbers are short.
    payload.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    payload.extend(attribute.to_ne_bytes());
    payload.extend(value);
    payload.resize(GENERIC + length.next_multiple_of(4), 0);
    asking::request(family, asking::REQUEST, &payload)
}

fn family_id(body: &[u8]) -> Option<u16> {
    let value = attribute(body, FAMILY_ID)?;
    Some(u16::from_ne_bytes(value.try_into().ok()?))
}

fn features(body: &[u8]) -> Option<u64> {
    let value = attribute(body, DEVICE_FEATURES)?;
    Some(u64::from_ne_bytes(value.try_into().ok()?))
}

fn attribute(body: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut all = raw::attributes(body);
    all.find_map(|(kind, value)| (kind == wanted).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `genl ctrl get name netdev`, from the header on.
    #[test]
    fn a_request_has_a_header_and_one_attribute() {
        let bytes = request(CONTROL, GET_FAMILY, FAMILY_NAME, NETDEV);
        let message = raw::messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.flags), (16, 1));
        assert_eq!(message.payload()[..4], [3, 1, 0, 0]);
        assert_eq!(attribute(&message.payload()[4..], 2), Some(NETDEV));
        assert_eq!(bytes.len(), 16 + 4 + 12);
    }

    #[test]
    fn answers_are_read() {
        let mut body = Vec::new();
        for (kind, value) in [
            (1_u16, 5_u32.to_ne_bytes().to_vec()),
            (3, 0x67_u64.to_ne_bytes().to_vec()),
        ] {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
        }
        assert_eq!(features(&body), Some(0x67));
        assert_eq!(features(&body[..12]), None);
        assert_eq!(family_id(&body), None, "not two bytes");
    }

    /// Loopback is there for everybody to ask about, and sends nothing for XDP.
    #[test]
    fn this_kernel_is_asked() {
        assert!(!xdp_sends_buffers(IfIndex::new(1)).unwrap());
    }
}
