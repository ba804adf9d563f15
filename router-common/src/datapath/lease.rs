//! The lease: whether the maps may be believed at all.
//!
//! Rules and addresses change while nobody tells the maps, when there is no
//! daemon. Past the lease the kernel, which knows, takes every frame.

use super::{Reason, Tables};

/// Whether a daemon that lives, or died just now, stands behind the maps.
#[inline(always)]
pub(super) fn check_lease<T: Tables>(tables: &T) -> Result<(), Reason> {
    match tables.control() {
        Some(control) if control.may_forward(tables.now()) => Ok(()),
        _ => Err(Reason::LeaseExpired),
    }
}
