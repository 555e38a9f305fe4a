//! Which addresses a workflow's requests may reach.
//!
//! Asked of every address a name resolves to, at the moment of connecting, so that a name that changes its mind in
//! between gains nothing. Link-local addresses, where clouds keep their machine's credentials, are always denied;
//! loopback and private networks unless the worker's setting `allow_private` says otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether a request may go to an address.
pub(crate) fn is_allowed(address: IpAddr, allow_private: bool) -> bool {
    match address {
        IpAddr::V4(v4) => allows_v4(v4, allow_private),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => allows_v4(v4, allow_private),
            None => allows_v6(v6, allow_private),
        },
    }
}

fn allows_v4(address: Ipv4Addr, allow_private: bool) -> bool {
    let [a, b, c, _] = address.octets();
    let never = address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || a == 0
        || a >= 240
        // The metadata service of one large cloud lies in the shared address space.
        || address == Ipv4Addr::new(100, 100, 100, 200);
    let private = address.is_loopback()
        || address.is_private()
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (b == 18 || b == 19));
    !never && (allow_private || !private)
}

fn allows_v6(address: Ipv6Addr, allow_private: bool) -> bool {
    let first = address.segments()[0];
    let never = address.is_unspecified()
        || address.is_multicast()
        || (first & 0xffc0) == 0xfe80
        // Where one large cloud answers its metadata over IPv6.
        || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let private = address.is_loopback() || (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfec0;
    !never && (allow_private || !private)
}

/// The address of the old kind that one of the new kind stands for: mapped, translated (NAT64) or tunnelled (6to4).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(of(g, h)),
        (0, 0, 0, 0, 0, 0) if g != 0 || h > 1 => Some(of(g, h)),
        (0x2002, high, low, ..) => Some(of(high, low)),
        _ => None,
    }
}

/// A name has no address a request may go to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} has no address that requests may reach: link-local never, private and loopback only with allow_private"
)]
pub(crate) struct Denied {
    pub(crate) host: String,
}

/// Resolves names to the addresses that are allowed.
pub(crate) struct Guard {
    pub(crate) allow_private: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, allow_private) = (name.as_str().to_owned(), self.allow_private);
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip(), allow_private)).collect();
            if allowed.is_empty() {
                return Err(Denied { host }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_the_cloud_are_out_of_reach_and_the_own_network_asks_for_leave() {
        let check = |address: &str, public: bool, private: bool| {
            let parsed: IpAddr = address.parse().expect("an address");
            assert_eq!((is_allowed(parsed, false), is_allowed(parsed, true)), (public, private), "{address}");
        };
        for address in ["1.1.1.1", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111"] {
            check(address, true, true);
        }
        for address in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "100.64.0.1", "::1", "fd00::1"] {
            check(address, false, true);
        }
        for address in ["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "198.18.0.1"] {
            check(address, false, true);
        }
        for address in ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255"] {
            check(address, false, false);
        }
        for address in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "100.100.100.200"] {
            check(address, false, false);
        }
        check("fd00:ec2::254", false, false);
        check("::169.254.169.254", false, false);
    }
}
