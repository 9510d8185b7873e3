//! What becomes of a packet, as it is seen from outside.

use std::{collections::BTreeSet, fmt, net::IpAddr, net::SocketAddr};

/// What becomes of a packet that is sent again and again, each time as another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These backends get it.
    Forward(BTreeSet<Sight>),
    /// It is answered with an error.
    Reject,
    /// It is gone.
    Drop,
    /// It goes on as it came.
    NotHandled,
}

/// A backend, and the address that it is asked by: the client's, or the node's where the source was
/// masqueraded. Of the node's own connections the two are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sight {
    /// The backend.
    pub backend: SocketAddr,
    /// Whom it sees.
    pub sees: IpAddr,
}

impl Outcome {
    /// One of several that a packet may have.
    pub fn of(sight: Sight) -> Self {
        Self::Forward(BTreeSet::from([sight]))
    }

    /// This outcome of some connections and that of others, which must be of one kind.
    pub fn and(self, other: Self) -> Result<Self, String> {
        match (self, other) {
            (Self::Forward(mut some), Self::Forward(others)) => {
                some.extend(others);
                Ok(Self::Forward(some))
            }
            (one, other) if one == other => Ok(one),
            (one, other) => Err(format!("once {one}, and once {other}")),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(sights) => {
                let sights: Vec<_> = sights.iter().map(Sight::to_string).collect();
                write!(f, "forwarded to {}", sights.join(", "))
            }
            Self::Reject => f.write_str("rejected"),
            Self::Drop => f.write_str("dropped"),
            Self::NotHandled => f.write_str("not handled"),
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} which sees {}", self.backend, self.sees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_kind_are_one_outcome() {
        let to = |backend: &str| {
            let sees = IpAddr::from([10, 0, 0, 9]);
            Outcome::of(Sight { backend: backend.parse().expect("a backend"), sees })
        };
        let (one, other) = (to("10.0.0.1:80"), to("10.0.0.2:80"));
        let Ok(Outcome::Forward(both)) = one.clone().and(other).and_then(|both| both.and(one.clone())) else {
            panic!("two backends are no contradiction")
        };
        assert_eq!(both.len(), 2);
        assert_eq!(Outcome::Drop.and(Outcome::Drop), Ok(Outcome::Drop));
        assert!(one.and(Outcome::Drop).is_err());
        assert!(Outcome::Reject.and(Outcome::NotHandled).is_err());
    }
}
