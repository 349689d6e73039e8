//! Tables of a file that stand for options: `[[listen]]`, `[cache-control]` and `[headers]`.

use std::ffi::OsString;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::words::WrongValue;
use super::{in_order, nearest};

/// An array of tables, each a listener.
pub(super) const LISTEN: &str = "listen";
/// A table, or the option of that name.
pub(super) const CACHE_CONTROL: &str = "cache-control";
/// A table, and the option that it stands for.
pub(super) const HEADERS: &str = "headers";
pub(super) const HEADER: &str = "header";

/// The options of listeners, and the value of the first one where there is none of plain HTTP.
const BIND: &str = "bind";
const TLS_BIND: &str = "tls-bind";
const PROXY_PROTOCOL: &str = "proxy-protocol";
const OFF: &str = "off";

const ADDRESS: &str = "address";
const TLS: &str = "tls";

/// `[[listen]]`, as options with their words.
pub(super) fn listening(
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<(&'static str, Vec<OsString>)>, WrongValue> {
    let wrong = || {
        let found = value.get_ref().type_str();
        let message =
            format!("`{LISTEN}` must be tables, each headed [[{LISTEN}]], not of type {found}");
        (value.span().start, message)
    };
    let DeValue::Array(tables) = value.get_ref() else {
        return Err(wrong());
    };
    let (mut plain, mut secure, mut proxied) = (Vec::new(), Vec::new(), Vec::new());
    for table in tables.iter() {
        let DeValue::Table(keys) = table.get_ref() else {
            return Err(wrong());
        };
        let listener = Listener::read(keys, table.span().start)?;
        if listener.has_proxy_header {
            proxied.push(word(PROXY_PROTOCOL, &listener.address));
        }
        match listener.is_secure {
            true => secure.push(word(TLS_BIND, &listener.address)),
            false => plain.push(word(BIND, &listener.address)),
        }
    }
    if plain.is_empty() {
        plain.push(word(BIND, OFF));
    }
    let mut options = vec![(BIND, plain)];
    let others = [(TLS_BIND, secure), (PROXY_PROTOCOL, proxied)];
    options.extend(others.into_iter().filter(|(_, words)| !words.is_empty()));
    Ok(options)
}

/// What a table `[[listen]]` says.
struct Listener {
    address: String,
    is_secure: bool,
    has_proxy_header: bool,
}

impl Listener {
    fn read(table: &DeTable<'_>, start: usize) -> Result<Self, WrongValue> {
        let (mut address, mut is_secure, mut has_proxy_header) = (None, false, false);
        for (key, value) in in_order(table.clone()) {
            match &**key.get_ref() {
                ADDRESS => address = Some(string(ADDRESS, &value)?),
                TLS => is_secure = boolean(TLS, &value)?,
                PROXY_PROTOCOL => has_proxy_header = boolean(PROXY_PROTOCOL, &value)?,
                other => {
                    let known = [ADDRESS, TLS, PROXY_PROTOCOL];
                    let mend = match nearest(other, known.into_iter()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("its keys are {}", known.join(", ")),
                    };
                    let message = format!("a listener has no key `{other}`; {mend}");
                    return Err((key.span().start, message));
                }
            }
        }
        let missing = || (start, format!("a listener needs `{ADDRESS}`, as in --bind"));
        Ok(Self {
            address: address.ok_or_else(missing)?,
            is_secure,
            has_proxy_header,
        })
    }
}

/// `[cache-control]`: each key is a glob.
pub(super) fn cache_control(table: &DeTable<'_>) -> Result<Vec<OsString>, WrongValue> {
    let words = in_order(table.clone()).into_iter().map(|(glob, value)| {
        let text = string(glob.get_ref(), &value)?;
        let glob = glob_of(&glob)?;
        Ok(word(CACHE_CONTROL, &format!("{glob}={text}")))
    });
    words.collect()
}

/// `[headers]`: each key is a name, or a glob with a table of its own.
pub(super) fn headers(value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, WrongValue> {
    let DeValue::Table(table) = value.get_ref() else {
        let found = value.get_ref().type_str();
        let message = format!(
            "`{HEADERS}` must be a table, headed [{HEADERS}], not of type {found}; \
             strings of the form NAME: VALUE are those of `{HEADER}`"
        );
        return Err((value.span().start, message));
    };
    let mut words = Vec::new();
    for (key, value) in in_order(table.clone()) {
        let DeValue::Table(fields) = value.get_ref() else {
            let text = string(key.get_ref(), &value)?;
            if key.get_ref().contains('*') {
                let message = format!(
                    "`{0}` is a glob; head a table by [{HEADERS}.\"{0}\"]",
                    key.get_ref()
                );
                return Err((key.span().start, message));
            }
            words.push(word(HEADER, &format!("{}: {text}", key.get_ref())));
            continue;
        };
        let glob = glob_of(&key)?;
        for (name, value) in in_order(fields.clone()) {
            let text = string(name.get_ref(), &value)?;
            words.push(word(HEADER, &format!("{glob}={}: {text}", name.get_ref())));
        }
    }
    Ok(words)
}

/// The glob that a key is. An option has `=` behind it.
fn glob_of<'k>(key: &'k Spanned<toml::de::DeString<'_>>) -> Result<&'k str, WrongValue> {
    let glob: &str = key.get_ref();
    match glob.contains('=') {
        true => {
            let message = format!("the glob `{glob}` has a `=`; match it by `?`");
            Err((key.span().start, message))
        }
        false => Ok(glob),
    }
}

fn word(option: &str, value: &str) -> OsString {
    format!("--{option}={value}").into()
}

fn string(key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, WrongValue> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        // A port alone.
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        _ => Err(wrong_type(key, value, "a string")),
    }
}

fn boolean(key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, WrongValue> {
    match value.get_ref() {
        DeValue::Boolean(is_on) => Ok(*is_on),
        _ => Err(wrong_type(key, value, "true or false")),
    }
}

fn wrong_type(key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> WrongValue {
    let found = value.get_ref().type_str();
    let message = format!("`{key}` must be {expected}, not of type {found}");
    (value.span().start, message)
}
