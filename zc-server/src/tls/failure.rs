//! Why a handshake failed, in words for the operator.

use std::borrow::Cow;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The longest description of an error that is rustls' own, in characters.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// A handshake that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FailedHandshake {
    /// The name that the client asked for, if it came to that.
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) reason: Cow<'static, str>,
}

/// The reason of an error. `offered` is the version that the ClientHello begins with, which is the highest one unless
/// an extension has higher ones.
pub(super) fn reason(error: &Error, offered: Option<[u8; 2]>) -> Cow<'static, str> {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert).into(),
        Error::PeerIncompatible(why) => of_peer(why, offered),
        Error::NoApplicationProtocol => {
            "no application protocol in common: the client does not offer http/1.1".into()
        }
        Error::NoCertificatesPresented => {
            "the client has no certificate, and --tls-client-ca wants one".into()
        }
        Error::InvalidCertificate(why) => format!(
            "the certificate of the client was refused: {}",
            of_certificate(why)
        )
        .into(),
        other => shortened(other).into(),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    let what = match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => "the client refused the certificate",
        _ => "the client gave up",
    };
    format!("{what} (alert {})", name_of(alert))
}

/// The name of an alert in [RFC 8446](https://www.rfc-editor.org/rfc/rfc8446#section-6): `unknown_ca` for `UnknownCA`.
fn name_of(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else {
        return u8::from(alert).to_string();
    };
    let mut out = String::new();
    let mut follows_small = false;
    for char in name.chars() {
        if follows_small && char.is_ascii_uppercase() {
            out.push('_');
        }
        follows_small = char.is_ascii_lowercase();
        out.push(char.to_ascii_lowercase());
    }
    out
}

fn of_peer(why: &PeerIncompatible, offered: Option<[u8; 2]>) -> Cow<'static, str> {
    let (highest, is_served) = match offered {
        Some([3, 0]) => (Some("SSL 3.0"), false),
        Some([3, 1]) => (Some("TLS 1.0"), false),
        Some([3, 2]) => (Some("TLS 1.1"), false),
        Some([3, 3]) => (Some("TLS 1.2"), true),
        _ => (None, true),
    };
    match why {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => no_version(highest),
        // Clients of earlier versions do not send it, and it is looked for first.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired if !is_served => no_version(highest),
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite in common".into(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange group in common".into(),
        PeerIncompatible::NoSignatureSchemesInCommon => {
            "no signature scheme in common: the client cannot check the certificate".into()
        }
        other => shortened(&Error::from(other.clone())).into(),
    }
}

fn no_version(highest: Option<&str>) -> Cow<'static, str> {
    match highest {
        Some(highest) => {
            format!("no protocol version in common: the client offers {highest} at most").into()
        }
        None => "no protocol version in common".into(),
    }
}

fn of_certificate(why: &CertificateError) -> Cow<'static, str> {
    match why {
        CertificateError::UnknownIssuer => "no authority of --tls-client-ca has signed it".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for clients (clientAuth)".into()
        }
        CertificateError::BadSignature => "its signature is wrong".into(),
        other => shortened(other).into(),
    }
}

fn shortened(error: &impl ToString) -> String {
    error
        .to_string()
        .chars()
        .take(DESCRIPTION_CHARS_MAX)
        .collect()
}

/// The reason where the first bytes are not TLS.
pub(super) fn not_tls(bytes: &[u8]) -> &'static str {
    let mut words = bytes.split(|&byte| byte == b' ');
    let is_method = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_uppercase);
    match (words.next(), words.next()) {
        (Some(method), Some(_)) if is_method(method) => "the client speaks HTTP without TLS",
        _ => "what the client sent first is not TLS",
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, PeerMisbehaved};

    use super::*;

    #[test]
    fn errors_are_said_in_plain_words() {
        let alert = |code: u8| Error::AlertReceived(code.into());
        let peer = Error::PeerIncompatible;
        for (error, offered, expected) in [
            (
                alert(48),
                3,
                "the client refused the certificate (alert unknown_ca)",
            ),
            (
                alert(46),
                3,
                "the client refused the certificate (alert certificate_unknown)",
            ),
            (alert(40), 3, "the client gave up (alert handshake_failure)"),
            (alert(200), 3, "the client gave up (alert 200)"),
            (
                peer(PeerIncompatible::Tls12NotOffered),
                1,
                "no protocol version in common: the client offers TLS 1.0 at most",
            ),
            (
                peer(PeerIncompatible::SupportedVersionsExtensionRequired),
                3,
                "no protocol version in common: the client offers TLS 1.2 at most",
            ),
            (
                peer(PeerIncompatible::Tls12NotOfferedOrEnabled),
                9,
                "no protocol version in common",
            ),
            (
                peer(PeerIncompatible::SignatureAlgorithmsExtensionRequired),
                2,
                "no protocol version in common: the client offers TLS 1.1 at most",
            ),
            (
                peer(PeerIncompatible::SignatureAlgorithmsExtensionRequired),
                3,
                "peer is incompatible: SignatureAlgorithmsExtensionRequired",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                3,
                "the certificate of the client was refused: no authority of --tls-client-ca has signed it",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                3,
                "received corrupt message of type InvalidContentType",
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::IncorrectBinder),
                3,
                "peer misbehaved: IncorrectBinder",
            ),
        ] {
            assert_eq!(reason(&error, Some([3, offered])), expected);
        }
        let long = Error::General("é".repeat(1000));
        assert_eq!(reason(&long, None).chars().count(), DESCRIPTION_CHARS_MAX);
    }

    #[test]
    fn http_is_told_from_other_protocols() {
        for (bytes, is_http) in [
            (&b"GET / HTTP/1.1\r\n"[..], true),
            (b"OPTIONS * HTTP/1.1", true),
            (b"SSH-2.0-OpenSSH_9.2 x", false),
            (b" / HTTP/1.1", false),
            (b"GET", false),
            (b"\0", false),
            (b"", false),
        ] {
            assert_eq!(not_tls(bytes).contains("HTTP"), is_http, "{bytes:?}");
        }
    }
}
