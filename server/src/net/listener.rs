//! The client port: accepts connections within the limits.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connection;
use crate::driver::Handle;

/// How long accepting rests after the process ran out of descriptors, in milliseconds.
const ACCEPT_REST_MS: u64 = 50;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// From one address; 0 is no limit.
    pub per_address_max: usize,
    /// In all; 0 is no limit.
    pub total_max: usize,
}

/// Accepts clients until `stop`; one over a limit is closed at once.
pub async fn serve(
    listener: TcpListener,
    limits: ConnectionLimits,
    handle: Handle,
    stop: CancellationToken,
) {
    let census = Arc::new(Census::default());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client has gone already: others may still come.
                tracing::warn!(%error, "accepting a client failed");
                tokio::time::sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
                continue;
            }
        };
        let Some(place) = Census::enter(&census, address.ip(), limits) else {
            handle.shared.metrics.connections_refused.increment(1);
            continue;
        };
        let (handle, stop) = (handle.clone(), stop.child_token());
        tokio::spawn(async move {
            connection::serve(socket, address, handle, stop).await;
            drop(place);
        });
    }
}

/// Who is connected, by address.
#[derive(Debug, Default)]
struct Census {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
struct Place {
    census: Arc<Census>,
    address: IpAddr,
}

impl Census {
    fn enter(census: &Arc<Self>, address: IpAddr, limits: ConnectionLimits) -> Option<Place> {
        let mut by_address = census.by_address.lock();
        let here = by_address.get(&address).copied().unwrap_or(0);
        let total: usize = if limits.total_max == 0 { 0 } else { by_address.values().sum() };
        let is_full = (limits.per_address_max > 0 && here >= limits.per_address_max)
            || (limits.total_max > 0 && total >= limits.total_max);
        if is_full {
            return None;
        }
        by_address.insert(address, here + 1);
        drop(by_address);
        Some(Place { census: census.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.census.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_address_over_its_limit_is_refused_until_a_place_is_free() {
        let census = Arc::new(Census::default());
        let limits = ConnectionLimits { per_address_max: 2, total_max: 0 };
        let first = Census::enter(&census, HOME, limits).unwrap();
        let _second = Census::enter(&census, HOME, limits).unwrap();
        assert!(Census::enter(&census, HOME, limits).is_none());
        drop(first);
        assert!(Census::enter(&census, HOME, limits).is_some());
    }

    #[test]
    fn the_total_counts_every_address() {
        let census = Arc::new(Census::default());
        let limits = ConnectionLimits { per_address_max: 0, total_max: 1 };
        let _first = Census::enter(&census, HOME, limits).unwrap();
        let other = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        assert!(Census::enter(&census, other, limits).is_none());
    }
}
