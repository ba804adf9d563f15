//! One case through both: the packet path and the model.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use router_common::datapath::{Verdict, route};
use router_test_support::{Buffer, mutation::Case, world::World};

use crate::{
    model::{self, Departure},
    tables::Maps,
};

/// What both agreed on.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Forwarded; how much the frame grew.
    Forwarded { elsewhere: bool, grew: i8 },
    /// Passed up for this reason.
    Passed(&'static str),
}

/// Runs a case through both.
///
/// # Errors
/// The difference, in words.
pub(crate) fn compare(case: &Case) -> Result<Outcome, String> {
    let (world, input) = case.build();
    compare_frame(&world, &input)
}

/// Runs a frame through both.
///
/// # Errors
/// The difference, in words.
pub(crate) fn compare_frame(world: &World, input: &[u8]) -> Result<Outcome, String> {
    let expected = model::judge(world, input);
    let maps = Maps::of(world);
    let mut buffer = Buffer::with_headroom(input, world.headroom);
    // A panic is one more difference: it gets its number and its row as well.
    let verdict = catch_unwind(AssertUnwindSafe(|| route(&mut buffer, &maps)))
        .map_err(|_| format!("route() panicked\n  in       {}", hex(input)))?;
    let output = buffer.frame();

    let wrong = |what: &str| {
        let mut text = format!("{what}\n  route() says {verdict:?}\n  the model says ");
        _ = match &expected.departure {
            Some(way) => write!(text, "{} -> {}, trunk {}", way.from, way.to, way.trunk),
            None => write!(text, "pass, for {:?}", expected.objections),
        };
        _ = write!(
            text,
            "\n  in       {}\n  out      {}",
            hex(input),
            hex(output)
        );
        if let Some(way) = &expected.departure {
            _ = write!(text, "\n  expected {}", hex(&way.bytes));
        }
        Err(text)
    };
    let asked = maps.asked.borrow();
    if let Some(odd) = asked.iter().find(|one| !expected.questions.contains(one)) {
        let questions = &expected.questions;
        return wrong(&format!(
            "it asked the kernel\n  {odd:?}\n  and not one of\n  {questions:?}"
        ));
    }
    let (pair, trunk) = match verdict {
        Verdict::Pass(reason) => {
            if output != input {
                return wrong("a frame that passes up was touched");
            }
            if !expected.objections.contains(reason.name()) {
                return wrong("passed up for a reason that does not hold");
            }
            return Ok(Outcome::Passed(reason.name()));
        }
        Verdict::Transmit(pair) => (pair, world.trunk),
        Verdict::Redirect(pair, trunk) if trunk.get() != world.trunk => (pair, trunk.get()),
        Verdict::Redirect(..) => return wrong("redirected to its own trunk"),
        Verdict::Abort(_) => return wrong("half rewritten"),
    };
    let went = Departure {
        from: pair.from.get(),
        to: pair.to.get(),
        trunk,
        bytes: output.to_vec(),
    };
    if expected.departure.as_ref() != Some(&went) {
        return wrong("forwarded, and should not be, or otherwise");
    }
    let grew = match output.len().cmp(&input.len()) {
        std::cmp::Ordering::Less => -4,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => 4,
    };
    Ok(Outcome::Forwarded {
        elsewhere: trunk != world.trunk,
        grew,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}
