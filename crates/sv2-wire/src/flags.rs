//! The flags of `SetupConnection` and `SetupConnection.Success`, a type for each protocol and direction.
//!
//! Requests and answers are different namespaces with overlapping bits (spec §5.3.1, §6.4.1); one type each keeps a
//! server from echoing a request. Job declaration defines no answer flags, template distribution no flags at all.

macro_rules! flags {
    ($(
        $(#[$attr:meta])*
        $Flags:ident { $($(#[$flag_attr:meta])* $NAME:ident = $bit:literal,)+ }
    )+) => {$(
        $(#[$attr])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $Flags(u32);

        impl $Flags {
            $(
                $(#[$flag_attr])*
                pub const $NAME: Self = Self(1 << $bit);
            )+

            /// No flag.
            pub const NONE: Self = Self(0);

            /// The flags of a message; bits without a name are kept.
            #[must_use]
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// The flags for a message.
            #[must_use]
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether all of `other` are set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Those that are not in `other`: with `other` the supported flags, what an error has to name.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl core::ops::BitOr for $Flags {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    )+};
}

flags! {
    /// `SetupConnection.flags` of the mining protocol: what the client requires.
    MiningRequestFlags {
        /// Only standard jobs: the client does not know extended ones.
        REQUIRES_STANDARD_JOBS = 0,
        /// The client will set custom jobs.
        REQUIRES_WORK_SELECTION = 1,
        /// The client needs to roll the version.
        REQUIRES_VERSION_ROLLING = 2,
    }

    /// `SetupConnection.Success.flags` of the mining protocol: what the server requires.
    MiningSuccessFlags {
        /// The version must not be rolled.
        REQUIRES_FIXED_VERSION = 0,
        /// Standard channels are not served.
        REQUIRES_EXTENDED_CHANNELS = 1,
    }

    /// `SetupConnection.flags` of the job declaration protocol: what the client offers.
    JobDeclarationRequestFlags {
        /// The client declares its transactions.
        DECLARE_TX_DATA = 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_specifications() {
        assert_eq!(MiningRequestFlags::REQUIRES_STANDARD_JOBS.bits(), 0x1);
        assert_eq!(MiningRequestFlags::REQUIRES_WORK_SELECTION.bits(), 0x2);
        assert_eq!(MiningRequestFlags::REQUIRES_VERSION_ROLLING.bits(), 0x4);
        assert_eq!(MiningSuccessFlags::REQUIRES_FIXED_VERSION.bits(), 0x1);
        assert_eq!(MiningSuccessFlags::REQUIRES_EXTENDED_CHANNELS.bits(), 0x2);
        assert_eq!(JobDeclarationRequestFlags::DECLARE_TX_DATA.bits(), 0x1);
    }

    #[test]
    fn unsupported_flags_are_what_is_left() {
        let supported = MiningRequestFlags::REQUIRES_STANDARD_JOBS
            | MiningRequestFlags::REQUIRES_VERSION_ROLLING;
        let requested = MiningRequestFlags::from_bits(0x8000_0003);
        assert_eq!(requested.without(supported).bits(), 0x8000_0002);
        assert!(requested.contains(MiningRequestFlags::REQUIRES_STANDARD_JOBS));
        assert!(!requested.contains(supported));
    }
}
