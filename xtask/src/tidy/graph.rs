//! Which file of a crate names what of which other, by reading paths: `use`, `crate::…`, `super::…`,
//! children, and names that were imported, in code, in macros and in attributes.
//!
//! A name that a module only passes on (`pub use`) is of the module that has it: who uses it depends
//! on that one. What is compiled for tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{ImplItem, Item, UseTree, Visibility};

use super::attributes::{is_for_tests, of_impl_item, of_item};
use super::tree::{Source, Tree};

/// The segments of a path below `crate`.
type Segments = Vec<String>;

/// What names what, between the files of one crate.
pub(super) struct Graph {
    /// The names of modules, as in `connection::send`; the roots are `lib` and `main`.
    pub(super) files: BTreeMap<String, String>,
    /// The first line in which a module names another.
    pub(super) edges: BTreeMap<(String, String), usize>,
}

/// What is known of a module, which may be a part of a file.
#[derive(Default)]
struct Scope {
    children: BTreeSet<String>,
    /// Imported names, and what they stand for as it is written there.
    names: BTreeMap<String, Segments>,
}

/// A path somewhere in the code.
struct Mention {
    file: Segments,
    scope: Segments,
    path: Segments,
    line: usize,
    /// `pub use`, which passes a name on.
    is_passed_on: bool,
}

impl Graph {
    /// Reads the crate called `name` in `directory`, which ends with a slash.
    pub(super) fn read(tree: &Tree, directory: &str, name: &str) -> Self {
        let mut sources: BTreeMap<Segments, &Source> = BTreeMap::new();
        let mut tests = Vec::new();
        for source in tree.rust() {
            if let Some(path) = source.path.strip_prefix(directory) {
                let module = module_of(path);
                tests.extend(tests_of(&module, &source.file));
                sources.insert(module, source);
            }
        }
        sources.retain(|module, _| !tests.iter().any(|tests| module.starts_with(tests)));
        let mut reader = Reader::new(name);
        for (module, source) in &sources {
            reader.read(module, &source.file);
        }
        let files = sources.iter();
        let files = files.map(|(module, source)| (shown(module), source.path.clone()));
        Self {
            files: files.collect(),
            edges: reader.edges(&sources.into_keys().collect()),
        }
    }

    /// The same between the rooms that the first segments of names are.
    pub(super) fn of_rooms(&self) -> Self {
        let mut rooms = Self {
            files: self.files.clone(),
            edges: BTreeMap::new(),
        };
        for ((from, to), line) in &self.edges {
            let ends = (room(from).to_owned(), room(to).to_owned());
            if ends.0 != ends.1 {
                rooms.files.insert(ends.0.clone(), self.files[from].clone());
                rooms.edges.entry(ends).or_insert(*line);
            }
        }
        rooms
    }

    /// For each set of modules that are in circles with each other, one of the shortest circles, and
    /// all of the set.
    pub(super) fn circles(&self) -> Vec<(Vec<&str>, BTreeSet<&str>)> {
        let nodes: BTreeSet<&str> = self.edges.keys().map(|(from, _)| from.as_str()).collect();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut circles: Vec<(Vec<&str>, BTreeSet<&str>)> = Vec::new();
        for &node in &nodes {
            if seen.contains(node) {
                continue;
            }
            let behind = self.reached(node);
            let set = behind.keys().copied();
            let set: BTreeSet<&str> = set
                .filter(|other| self.reached(other).contains_key(node))
                .collect();
            seen.extend(&set);
            let ways = set.iter().map(|node| self.way_round(node));
            if let Some(shortest) = ways.min_by_key(Vec::len) {
                circles.push((shortest, set));
            }
        }
        circles
    }

    /// Everything that can be reached from `node`, and from where it was reached first.
    fn reached<'a>(&'a self, node: &'a str) -> BTreeMap<&'a str, &'a str> {
        let mut reached = BTreeMap::new();
        let mut ends = vec![node];
        while !ends.is_empty() {
            let mut further = Vec::new();
            for end in ends {
                for (from, to) in self.edges.keys().filter(|(from, _)| from == end) {
                    if !reached.contains_key(to.as_str()) {
                        reached.insert(to.as_str(), from.as_str());
                        further.push(to.as_str());
                    }
                }
            }
            ends = further;
        }
        reached
    }

    /// The shortest way from a node in a circle to itself.
    fn way_round<'a>(&'a self, node: &'a str) -> Vec<&'a str> {
        let reached = self.reached(node);
        let mut way = vec![node];
        let mut at = reached[node];
        while at != node {
            way.push(at);
            at = reached[at];
        }
        way.push(node);
        way.reverse();
        way
    }
}

/// The room that a module stands in.
pub(super) fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// The module that a file of the crate is: none for `lib.rs`.
fn module_of(path: &str) -> Segments {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let path = if path == "lib" { "" } else { path };
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn shown(module: &[String]) -> String {
    if module.is_empty() {
        return "lib".to_owned();
    }
    module.join("::")
}

/// The modules in files of their own that a file declares for tests alone.
fn tests_of(module: &[String], file: &syn::File) -> Vec<Segments> {
    let of_tests = file.items.iter().filter_map(|item| match item {
        Item::Mod(item) if is_for_tests(&item.attrs) => Some(item.ident.to_string()),
        _ => None,
    });
    of_tests.map(|name| [module, &[name]].concat()).collect()
}

/// Collects paths.
struct Reader {
    /// What other crates, and the program, call the library.
    name: String,
    scopes: BTreeMap<Segments, Scope>,
    mentions: Vec<Mention>,
    file: Segments,
    scope: Segments,
}

impl Reader {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scopes: BTreeMap::new(),
            mentions: Vec::new(),
            file: Vec::new(),
            scope: Vec::new(),
        }
    }

    fn read(&mut self, module: &[String], file: &syn::File) {
        self.file = module.to_vec();
        self.scope = module.to_vec();
        self.scopes.entry(self.scope.clone()).or_default();
        self.visit_file(file);
    }

    fn mention(&mut self, path: Segments, line: usize, is_passed_on: bool) {
        self.mentions.push(Mention {
            file: self.file.clone(),
            scope: self.scope.clone(),
            path,
            line,
            is_passed_on,
        });
    }

    fn import(&mut self, tree: &UseTree, mut path: Segments, is_passed_on: bool) {
        let (name, line) = match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.import(&tree.tree, path, is_passed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), is_passed_on);
                }
                return;
            }
            UseTree::Glob(tree) => (None, tree.span().start().line),
            UseTree::Name(tree) => {
                if tree.ident != "self" {
                    path.push(tree.ident.to_string());
                }
                (path.last().cloned(), tree.ident.span().start().line)
            }
            UseTree::Rename(tree) => {
                if tree.ident != "self" {
                    path.push(tree.ident.to_string());
                }
                (
                    Some(tree.rename.to_string()),
                    tree.ident.span().start().line,
                )
            }
        };
        if let Some(name) = name {
            let scope = self.scopes.entry(self.scope.clone()).or_default();
            scope.names.insert(name, path.clone());
        }
        self.mention(path, line, is_passed_on);
    }

    /// The paths in what is not parsed: `a::b`, in groups as well.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_of_path(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    if let TokenTree::Group(group) = other {
                        if colons == 2 && group.delimiter() == Delimiter::Brace {
                            path.clear();
                        }
                        self.read_tokens(group.stream());
                    }
                    self.end_of_path(&mut path, line);
                    colons = 0;
                }
            }
        }
        self.end_of_path(&mut path, line);
    }

    fn end_of_path(&mut self, path: &mut Segments, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.mention(path, line, false);
        }
    }

    /// The edges between `files`, by what is known of all modules now.
    fn edges(&self, files: &BTreeSet<Segments>) -> BTreeMap<(String, String), usize> {
        let mut edges = BTreeMap::new();
        for mention in &self.mentions {
            let Some(module) = self.module_named(&mention.scope, &mention.path, 0) else {
                continue;
            };
            let lengths = (0..=module.len()).rev();
            let mut prefixes = lengths.map(|length| &module[..length]);
            let Some(to) = prefixes.find(|prefix| files.contains(*prefix)) else {
                continue;
            };
            // A room's parts know what the room itself declares: that is what it is for.
            let is_own_room = !to.is_empty() && mention.file.starts_with(to);
            let is_own_part = mention.is_passed_on && to.starts_with(&mention.file);
            if !is_own_room && !is_own_part && to != mention.file {
                let ends = (shown(&mention.file), shown(to));
                let first = edges.entry(ends).or_insert(mention.line);
                *first = mention.line.min(*first);
            }
        }
        edges
    }

    /// The module that has what `path` names in `scope`; none if it is of another crate.
    fn module_named(&self, scope: &[String], path: &[String], depth: usize) -> Option<Segments> {
        /// Of imports that lead to imports; more is a circle of them, which does not compile.
        const DEPTH_MAX: usize = 16;
        let (first, rest) = path.split_first()?;
        let known = self.scopes.get(scope)?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" if scope.first().is_some_and(|first| first == "main") => {
                (vec!["main".to_owned()], rest)
            }
            "crate" => (Vec::new(), rest),
            name if name == self.name => (Vec::new(), rest),
            "self" => (scope.to_vec(), rest),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                (scope[..scope.len().checked_sub(up)?].to_vec(), &path[up..])
            }
            name if path.len() > 1 && known.children.contains(name) => (scope.to_vec(), path),
            name if known
                .names
                .get(name)
                .is_some_and(|to| to.first() != Some(first) || to.len() > 1)
                && depth < DEPTH_MAX =>
            {
                let path = [known.names[name].as_slice(), rest].concat();
                return self.module_named(scope, &path, depth + 1);
            }
            _ => return None,
        };
        while let Some((first, further)) = rest.split_first() {
            let here = self.scopes.get(&at)?;
            if here.children.contains(first) {
                at.push(first.clone());
                rest = further;
            } else if here.names.contains_key(first) && depth < DEPTH_MAX {
                let imported = self.module_named(&at, rest, depth + 1);
                return Some(imported.unwrap_or(at));
            } else {
                break;
            }
        }
        Some(at)
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(of_item(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !is_for_tests(of_impl_item(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let scope = self.scopes.entry(self.scope.clone()).or_default();
        scope.children.insert(name.clone());
        self.scope.push(name);
        if item.content.is_some() {
            self.scopes.entry(self.scope.clone()).or_default();
            visit::visit_item_mod(self, item);
        }
        self.scope.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            let is_passed_on = !matches!(item.vis, Visibility::Inherited);
            self.import(&item.tree, Vec::new(), is_passed_on);
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // `pub(in …)` names who may know this, and not what this knows.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter();
            let segments = segments.map(|segment| segment.ident.to_string()).collect();
            self.mention(segments, path.span().start().line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.read_tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone());
        }
    }
}
