//! The files that belong to a film or a sound, by their names: `NAME.jpg` is its poster, `NAME.vtt` and
//! `NAME.LANGUAGE.vtt` are its subtitles.

/// Extensions of posters; the first that is there is taken.
const POSTERS: [&[u8]; 4] = [b".jpg", b".jpeg", b".png", b".webp"];
/// The extension of subtitles.
const SUBTITLES: &[u8] = b".vtt";
/// The most subtitles that one film has.
const SUBTITLES_MAX: usize = 16;
/// The longest tag of a language, in bytes ([RFC 5646 §4.4.1](https://www.rfc-editor.org/rfc/rfc5646#section-4.4.1)).
const LANGUAGE_BYTES_MAX: usize = 35;

/// Numbers of entries in the order of the bytes of their names, so that a name is found.
#[derive(Debug, Default)]
pub(super) struct ByName(Vec<u32>);

impl ByName {
    /// The memory of one entry.
    pub(super) const BYTES: usize = size_of::<u32>();

    pub(super) fn new<'a>(count: u32, name_of: impl Fn(u32) -> &'a [u8]) -> Self {
        let mut numbers: Vec<u32> = (0..count).collect();
        numbers.sort_unstable_by_key(|&number| name_of(number));
        Self(numbers)
    }

    fn find<'a>(&self, name: &[u8], name_of: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        let place = self
            .0
            .binary_search_by_key(&name, |&number| name_of(number));
        self.0.get(place.ok()?).copied()
    }

    /// The poster of the file `name`.
    pub(super) fn poster<'a>(&self, name: &[u8], name_of: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        let find = |extension: &&[u8]| self.find(&[stem(name), extension].concat(), &name_of);
        POSTERS.iter().find_map(find)
    }

    /// The subtitles of the file `name`, that of no language first.
    pub(super) fn subtitles<'a>(
        &self,
        name: &[u8],
        name_of: impl Fn(u32) -> &'a [u8],
    ) -> impl Iterator<Item = u32> {
        let plain = self.find(&[stem(name), SUBTITLES].concat(), &name_of);
        let prefix = [stem(name), b"."].concat();
        let start = self
            .0
            .partition_point(|&number| name_of(number) < &prefix[..]);
        let rest = self.0.get(start..).unwrap_or_default().iter();
        let rest = rest.take_while(|&&number| name_of(number).starts_with(&prefix));
        let is_of_a_language = |number: &u32| language(name, name_of(*number)).is_some();
        let tagged: Vec<u32> = rest
            .copied()
            .filter(is_of_a_language)
            .take(SUBTITLES_MAX)
            .collect();
        plain.into_iter().chain(tagged)
    }
}

/// The name without its extension.
pub(super) fn stem(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|&byte| byte == b'.') {
        None | Some(0) => name,
        Some(dot) => &name[..dot],
    }
}

/// The tag of the language that subtitles of the file `name` have in their own name.
pub(super) fn language<'a>(name: &[u8], subtitles: &'a [u8]) -> Option<&'a str> {
    let rest = subtitles.strip_prefix(stem(name))?.strip_prefix(b".")?;
    let tag = rest.strip_suffix(SUBTITLES)?;
    let is_tag_byte = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let is_tag = (2..=LANGUAGE_BYTES_MAX).contains(&tag.len())
        && tag.iter().all(is_tag_byte)
        && tag[0].is_ascii_alphabetic();
    str::from_utf8(tag).ok().filter(|_| is_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posters_and_subtitles_are_found_by_the_name_of_the_film() {
        let names: [&[u8]; 12] = [
            b"film.mp4",
            b"film.jpg",
            b"film.png",
            b"film.vtt",
            b"film.de.vtt",
            b"film.en-GB.vtt",
            b"film.no tag.vtt",
            b"film.de.txt",
            b"film2.vtt",
            b"film2.webm",
            b"film2.webp",
            b"alone.mp4",
        ];
        let name_of = |number: u32| names[number as usize];
        let by_name = ByName::new(names.len() as u32, name_of);
        let poster = |name: &[u8]| by_name.poster(name, name_of).map(name_of);
        let subtitles =
            |name: &[u8]| -> Vec<_> { by_name.subtitles(name, name_of).map(name_of).collect() };
        assert_eq!(poster(b"film.mp4"), Some(&b"film.jpg"[..]));
        assert_eq!(poster(b"film2.webm"), Some(&b"film2.webp"[..]));
        assert_eq!(poster(b"alone.mp4"), None);
        let expected: [&[u8]; 3] = [b"film.vtt", b"film.de.vtt", b"film.en-GB.vtt"];
        assert_eq!(subtitles(b"film.mp4"), expected);
        assert_eq!(subtitles(b"film2.webm"), [b"film2.vtt"]);
        assert_eq!(subtitles(b"alone.mp4"), [b""; 0]);
        assert_eq!(language(b"film.mp4", b"film.en-GB.vtt"), Some("en-GB"));
        assert_eq!(language(b"film.mp4", b"film.vtt"), None);
        assert_eq!(stem(b".mp4"), b".mp4");
    }

    #[test]
    fn a_film_has_a_bounded_number_of_subtitles() {
        let names: Vec<Vec<u8>> = (10..99)
            .map(|number| format!("a.l{number}.vtt").into_bytes())
            .collect();
        let name_of = |number: u32| &names[number as usize][..];
        let by_name = ByName::new(names.len() as u32, name_of);
        assert_eq!(by_name.subtitles(b"a.mp4", name_of).count(), SUBTITLES_MAX);
    }
}
