//! Which file depends on which, by the paths that are written in them.

use super::source::{Module, Segments, Source};
use std::collections::{BTreeMap, BTreeSet};

/// A chain of re-exports longer than this is taken for a circle of them.
const MAX_HOPS: usize = 16;

/// A library or a program of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    /// The name other crates import it by.
    pub(crate) name: String,
    /// The file of the crate root.
    pub(crate) root: String,
}

/// The dependencies of every file.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    /// Files of the repository that a file depends on.
    pub(crate) files: BTreeMap<String, BTreeSet<String>>,
    /// Paths outside the repository that a file names, as `crate::item`.
    pub(crate) external: BTreeMap<String, BTreeSet<String>>,
    /// Files that a crate root leads to, those of tests included.
    pub(crate) reached: BTreeSet<String>,
}

/// A module and where it stands.
#[derive(Debug, Clone)]
struct Place {
    krate: usize,
    file: String,
    /// The module's path from the crate root.
    path: Segments,
}

/// The target of a path.
enum Target {
    File(String),
    External(String),
}

struct Resolver<'s> {
    crates: &'s [Crate],
    /// Modules by crate and path from its root.
    modules: BTreeMap<(usize, Segments), (&'s Module, String)>,
    /// Files of tests beside them.
    tests: BTreeSet<String>,
}

impl Imports {
    /// Resolves every path of every file that a crate root leads to.
    pub(crate) fn of(crates: &[Crate], sources: &BTreeMap<String, Source>) -> Self {
        let mut resolver = Resolver { crates, modules: BTreeMap::new(), tests: BTreeSet::new() };
        for (krate, Crate { root, .. }) in crates.iter().enumerate() {
            resolver.enter_file(krate, Vec::new(), root, sources);
        }
        let mut imports = Self::default();
        let reached = resolver.modules.values().map(|(_, file)| file);
        imports.reached = reached.chain(&resolver.tests).cloned().collect();
        for ((krate, path), (module, file)) in &resolver.modules {
            let place = Place { krate: *krate, file: file.clone(), path: path.clone() };
            imports.files.entry(file.clone()).or_default();
            // A face (`lib.rs`, `mod.rs`) does not depend on what it shows of its folder; other files do.
            let is_face = ["lib.rs", "mod.rs", "main.rs"].iter().any(|face| file.ends_with(face));
            let used = module.paths.iter().map(|path| (path, true));
            let shown = module.reexports.iter().map(|path| (path, !is_face));
            for (written, depends) in used.chain(shown) {
                match resolver.resolve(&place, written, MAX_HOPS) {
                    Some(Target::File(target)) if depends && target != *file => {
                        imports.files.entry(file.clone()).or_default().insert(target);
                    }
                    Some(Target::External(name)) => {
                        imports.external.entry(file.clone()).or_default().insert(name);
                    }
                    _ => {}
                }
            }
        }
        imports
    }

    /// A shortest way from a file back to itself, for each group of files that reach each other.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for file in self.files.keys() {
            if seen.contains(file) {
                continue;
            }
            if let Some(circle) = self.shortest_way(file, |to| to == file) {
                seen.extend(circle.iter().cloned());
                circles.push(circle);
            }
        }
        circles
    }

    /// The files from one file to the first that is searched, both included.
    pub(crate) fn shortest_way(&self, from: &str, is_end: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let mut reached: BTreeMap<&str, &str> = BTreeMap::new();
        let mut next = std::collections::VecDeque::from([from]);
        while let Some(file) = next.pop_front() {
            for to in self.files.get(file).into_iter().flatten() {
                if is_end(to) {
                    let mut way = vec![to.clone(), file.to_owned()];
                    let mut at = file;
                    while at != from {
                        at = reached[at];
                        way.push(at.to_owned());
                    }
                    way.reverse();
                    return Some(way);
                }
                if !reached.contains_key(to.as_str()) {
                    reached.insert(to, file);
                    next.push_back(to);
                }
            }
        }
        None
    }

    /// All files that a file reaches, itself included.
    pub(crate) fn reach<'i>(&'i self, from: &'i str) -> BTreeSet<&'i str> {
        let mut reached = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            let new = self.files.get(file).into_iter().flatten().map(String::as_str);
            next.extend(new.filter(|file| reached.insert(file)));
        }
        reached
    }
}

impl<'s> Resolver<'s> {
    fn enter_file(
        &mut self,
        krate: usize,
        path: Segments,
        file: &str,
        sources: &'s BTreeMap<String, Source>,
    ) {
        if let Some(source) = sources.get(file) {
            self.enter(krate, path, file, &source.module, sources);
        }
    }

    fn enter(
        &mut self,
        krate: usize,
        path: Segments,
        file: &str,
        module: &'s Module,
        sources: &'s BTreeMap<String, Source>,
    ) {
        self.modules.insert((krate, path.clone()), (module, file.to_owned()));
        for (name, inner) in &module.inline {
            self.enter(krate, join(&path, name), file, inner, sources);
        }
        for name in &module.children {
            for candidate in candidates(file, name) {
                self.enter_file(krate, join(&path, name), &candidate, sources);
            }
        }
        self.tests.extend(module.tests.iter().flat_map(|name| candidates(file, name)));
    }

    /// Follows a path from the module it is written in.
    fn resolve(&self, place: &Place, written: &[String], hops: usize) -> Option<Target> {
        let (head, rest) = written.split_first()?;
        let module = self.modules.get(&(place.krate, place.path.clone()))?.0;
        match head.as_str() {
            "crate" => self.descend(place.krate, &[], rest, hops),
            "self" => self.descend(place.krate, &place.path, rest, hops),
            "super" => self.descend(place.krate, &place.path, written, hops),
            name => {
                if let Some(krate) = self.crates.iter().position(|krate| krate.name == name) {
                    return self.descend(krate, &[], rest, hops);
                }
                if self.modules.contains_key(&(place.krate, join(&place.path, name))) {
                    return self.descend(place.krate, &place.path, written, hops);
                }
                if let Some(target) = module.names.get(name) {
                    // An import's own leaf names itself.
                    if target == written || hops == 0 {
                        return external(written);
                    }
                    let whole: Segments = target.iter().chain(rest).cloned().collect();
                    return self.resolve(place, &whole, hops - 1);
                }
                if module.items.contains(name) {
                    return Some(Target::File(place.file.clone()));
                }
                external(written)
            }
        }
    }

    /// Goes down from a module to what defines the path's end, through re-exports.
    fn descend(&self, krate: usize, from: &[String], path: &[String], hops: usize) -> Option<Target> {
        let (module, file) = self.modules.get(&(krate, from.to_vec()))?;
        let Some((head, rest)) = path.split_first() else { return Some(Target::File(file.clone())) };
        if head == "super" {
            return self.descend(krate, &from[..from.len().checked_sub(1)?], rest, hops);
        }
        let below = join(from, head);
        if self.modules.contains_key(&(krate, below.clone())) {
            return self.descend(krate, &below, rest, hops);
        }
        let place = Place { krate, file: file.clone(), path: from.to_vec() };
        if module.items.contains(head) || hops == 0 {
            return Some(Target::File(file.clone()));
        }
        if let Some(target) = module.names.get(head) {
            let whole: Segments = target.iter().chain(rest).cloned().collect();
            return self.resolve(&place, &whole, hops - 1);
        }
        let through_globs = module.globs.iter().find_map(|glob| {
            let whole: Segments = glob.iter().chain(path).cloned().collect();
            self.resolve(&place, &whole, hops - 1).filter(|target| self.defines(target, head))
        });
        through_globs.or_else(|| Some(Target::File(file.clone())))
    }

    fn defines(&self, target: &Target, name: &str) -> bool {
        let Target::File(file) = target else { return true };
        self.modules.values().any(|(module, of)| of == file && module.items.contains(name))
    }
}

fn external(path: &[String]) -> Option<Target> {
    (path.len() > 1).then(|| Target::External(path.join("::")))
}

fn join(path: &[String], name: &str) -> Segments {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// Where the file of a module's child may stand.
fn candidates(file: &str, child: &str) -> [String; 2] {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let folder = match name {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/"),
        other => format!("{folder}/{}/", other.trim_end_matches(".rs")),
    };
    [format!("{folder}{child}.rs"), format!("{folder}{child}/mod.rs")]
}
