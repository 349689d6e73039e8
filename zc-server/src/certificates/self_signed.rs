//! Makes a certificate that is signed with its own key.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;

use super::pair::Pair;

/// Addresses that every one is for.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];
/// What browsers show as its subject and its issuer.
const SUBJECT: &str = "zc-server, self-signed";
/// From yesterday on: clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is valid.
const VALID: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A new pair for `names`, as of `now` in seconds since 1970.
pub(super) fn make(names: &[String], provider: &CryptoProvider, now: u64) -> Result<Pair, String> {
    let mut all = names.to_vec();
    let more = LOOPBACK.map(str::to_owned).into_iter();
    all.extend(more.filter(|address| !names.contains(address)));
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(all).map_err(|error| error.to_string())?;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now).saturating_sub(BACKDATED);
    params.not_after = epoch + Duration::from_secs(now) + VALID;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| error.to_string())?;
    Pair::new(vec![certificate.der().clone()], key, now).map_err(|wrong| format!("{wrong:?}"))
}

/// Whether one that is valid until `expires` is to be made anew: half of its time is over.
pub(super) fn is_old(expires: u64, now: u64) -> bool {
    expires.saturating_sub(now) < VALID.as_secs() / 2
}
