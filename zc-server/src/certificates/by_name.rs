//! Chooses a certificate by the name that a client asks for (SNI, RFC 6066, section 3).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// Certificates by name.
#[derive(Debug)]
pub(super) struct ByName {
    certificates: Vec<Arc<CertifiedKey>>,
    /// Which ones a name has, in order. A wildcard `*.example.org` is here as `.example.org`.
    names: HashMap<String, Vec<usize>>,
}

impl ByName {
    /// The first pair is for all other names.
    pub(super) fn new(pairs: &[Pair]) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            for name in &pair.names {
                let name = name.strip_prefix('*').unwrap_or(name);
                names.entry(name.to_owned()).or_default().push(index);
            }
        }
        let certificates = pairs.iter().map(|pair| Arc::clone(&pair.certified));
        Self {
            certificates: certificates.collect(),
            names,
        }
    }

    /// The certificates for a name in lower case: those that have it, otherwise those whose wildcard stands for its
    /// first label (RFC 9525, section 6.3), otherwise the first of all.
    pub(super) fn indices(&self, name: Option<&str>) -> &[usize] {
        let exact = name.and_then(|name| self.names.get(name));
        let wildcard = || self.names.get(&name?[name?.find('.')?..]);
        exact.or_else(wildcard).map_or(&[0], Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    /// Of several certificates for one name, the first one that the client can check: one may be ECDSA, and one
    /// RSA for old clients. rustls has made the name lower case.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let indices = self.indices(hello.server_name());
        let schemes = hello.signature_schemes();
        let found = indices
            .iter()
            .filter_map(|&index| self.certificates.get(index));
        let mut usable = found
            .clone()
            .filter(|one| one.key.choose_scheme(schemes).is_some());
        let mut found = found;
        usable.next().or_else(|| found.next()).map(Arc::clone)
    }
}
