//! How many connections may be open at once: over all, and from one client.
use crate::value::network;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The count of open connections; one for the whole process.
#[derive(Debug, Default)]
pub(super) struct Admission {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    TooMany,
    TooManyFromClient,
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    /// # Errors
    /// Which limit is reached.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr, all: usize, per_client: usize) -> Result<Place, Refused> {
        let client = network(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= all {
            return Err(Refused::TooMany);
        }
        let from_client = open.by_client.entry(client).or_default();
        if *from_client >= per_client {
            return Err(Refused::TooManyFromClient);
        }
        *from_client += 1;
        open.all += 1;
        Ok(Place { admission: Arc::clone(self), client })
    }

    #[cfg(test)]
    fn clients(&self) -> usize {
        self.open.lock().unwrap().by_client.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let admission = Arc::new(Admission::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        let first = admission.admit(address, 3, 2).unwrap();
        let _second = admission.admit(address, 3, 2).unwrap();
        assert_eq!(admission.admit(address, 3, 2).unwrap_err(), Refused::TooManyFromClient);
        let _third = admission.admit(other, 3, 2).unwrap();
        assert_eq!(admission.admit("192.0.2.3".parse().unwrap(), 3, 2).unwrap_err(), Refused::TooMany);
        drop(first);
        let _again = admission.admit(address, 3, 2).unwrap();
    }

    #[test]
    fn one_network_is_one_client_and_nothing_is_kept_of_those_who_left() {
        let admission = Arc::new(Admission::default());
        let place = admission.admit("2001:db8::1".parse().unwrap(), 9, 1).unwrap();
        assert_eq!(admission.admit("2001:db8::2".parse().unwrap(), 9, 1).unwrap_err(), Refused::TooManyFromClient);
        let mapped = admission.admit("::ffff:192.0.2.1".parse().unwrap(), 9, 1).unwrap();
        assert_eq!(admission.admit("192.0.2.1".parse().unwrap(), 9, 1).unwrap_err(), Refused::TooManyFromClient);
        drop((place, mapped));
        assert_eq!(admission.clients(), 0);
    }
}
