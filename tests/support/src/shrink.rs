//! The smallest case that still fails, and how to write it down.

use crate::{draft::Skeleton, mutation::Case};

/// Leaves out one mutation after the other, then makes the skeleton plain, as
/// long as the case still fails.
pub fn shrink_while(case: &Case, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut smallest = case.clone();
    let mut place = 0;
    while place < smallest.mutations.len() {
        let mut smaller = smallest.clone();
        smaller.mutations.remove(place);
        if fails(&smaller) {
            // What came before may be superfluous now.
            smallest = smaller;
            place = 0;
        } else {
            place += 1;
        }
    }
    let plainer: [fn(&mut Skeleton); 5] = [
        |skeleton| skeleton.payload = 8,
        |skeleton| skeleton.protocol = 17,
        |skeleton| skeleton.six = false,
        |skeleton| skeleton.to = 1,
        |skeleton| skeleton.from = 0,
    ];
    for change in plainer {
        let mut smaller = smallest.clone();
        change(&mut smaller.skeleton);
        if fails(&smaller) {
            smallest = smaller;
        }
    }
    smallest
}

/// A row of `router-common/tests/model/regressions.rs`.
pub fn row(case: &Case) -> String {
    let Skeleton {
        from,
        to,
        six,
        protocol,
        payload,
    } = case.skeleton;
    format!(
        "        (\n            \"what went wrong\",\n            \
         skeleton({from}, {to}, {six}, {protocol}, {payload}),\n            \
         &{:?},\n        ),",
        case.mutations
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::Mutation;

    /// Of five mutations two matter; their order stays.
    #[test]
    fn only_what_matters_is_left() {
        let skeleton = Skeleton {
            from: 3,
            to: 5,
            six: true,
            protocol: 58,
            payload: 40,
        };
        let mutations = vec![
            Mutation::Hops(1),
            Mutation::Vid(7),
            Mutation::Id(9),
            Mutation::Class(4),
            Mutation::Down(0),
        ];
        let case = Case {
            skeleton,
            mutations,
        };
        let both = [Mutation::Vid(7), Mutation::Class(4)];
        let smallest = shrink_while(&case, |case| {
            both.iter().all(|one| case.mutations.contains(one)) && case.skeleton.six
        });
        assert_eq!(smallest.mutations, both);
        assert_eq!(
            row(&smallest),
            "        (\n            \"what went wrong\",\n            \
             skeleton(0, 1, true, 17, 8),\n            &[Vid(7), Class(4)],\n        ),"
        );
    }
}
