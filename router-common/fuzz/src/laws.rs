//! What holds for every frame that is forwarded, whatever the tables say.

use super::input::Input;

/// Checks a forwarded frame against the one that came in.
pub(crate) fn assert_forwarded(input: &Input, out: &[u8]) {
    let came = &input.frame;
    let tagged_in = came[12..14] == [0x81, 0x00];
    let tagged_out = input.egress.vid.get() != 0;
    let (l3_in, l3_out) = (
        14 + 4 * usize::from(tagged_in),
        14 + 4 * usize::from(tagged_out),
    );

    assert!(input.may_forward(), "past the lease");
    assert_eq!(came[..6], input.ingress.mac.octets(), "not to the gateway");
    assert_eq!(out[..6], input.next_mac);
    assert_eq!(out[6..12], input.own_mac);
    assert_ne!(input.next_mac, [0; 6]);
    assert_eq!(out[l3_out - 2..l3_out], came[l3_in - 2..l3_in], "type");
    if tagged_out {
        assert_eq!(out[12..14], [0x81, 0x00]);
        let vid = u16::from_be_bytes([out[14], out[15]]) & 0x0fff;
        assert_eq!(vid, input.egress.vid.get() & 0x0fff);
    }

    let (before, after) = (&came[l3_in..], &out[l3_out..]);
    assert_eq!(before.len(), after.len());
    let six = came[l3_in - 2..l3_in] == [0x86, 0xdd];
    let hops = if six { 7 } else { 8 };
    assert!(before[hops] > 1, "TTL {}", before[hops]);
    assert_eq!(after[hops], before[hops] - 1);
    for (i, (new, old)) in after.iter().zip(before).enumerate() {
        let checksum = !six && (10..12).contains(&i);
        assert!(new == old || i == hops || checksum, "byte {i}");
    }
    if !six {
        assert_eq!(sum(&before[..20]) % 65535, 0, "forwarded a broken header");
        assert_eq!(sum(&after[..20]) % 65535, 0, "broke the checksum");
    }
    let length = if six {
        u64::from(before[4]) * 256 + u64::from(before[5]) + 40
    } else {
        u64::from(before[2]) * 256 + u64::from(before[3])
    };
    let limit = if six {
        input.egress.mtu6
    } else {
        input.egress.mtu4
    };
    assert!(length <= u64::from(limit), "{length} bytes through {limit}");
    assert!(length <= before.len() as u64, "longer than its frame");
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(2);
    words.map(|w| u32::from(w[0]) * 256 + u32::from(w[1])).sum()
}
