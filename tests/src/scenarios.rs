//! Scenarios that hold with native XDP and with tc alone.

/// Makes two tests of each function: one with [`Xdp::Native`](crate::Xdp), one with
/// [`Xdp::Off`](crate::Xdp).
#[macro_export]
macro_rules! with_and_without_xdp {
    ($($scenario:ident),+ $(,)?) => {
        mod native_xdp {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario($crate::Xdp::Native)
            })+
        }
        mod tc_alone {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario($crate::Xdp::Off)
            })+
        }
    };
}
