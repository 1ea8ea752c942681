//! One source file, parsed: its modules, what they import, its functions.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Attribute, Block, Item, ItemMod, ItemUse, Signature, UseTree, Visibility};

/// A path as written, by its segments.
pub(crate) type Segments = Vec<String>;

/// A parsed file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file's path in the repository, with `/`.
    pub(crate) path: String,
    /// Lines outside modules of tests.
    pub(crate) lines: usize,
    /// The module that the file is, with the modules that are written out in it.
    pub(crate) module: Module,
    /// Functions outside tests.
    pub(crate) functions: Vec<Function>,
    /// String literals outside tests, with their lines.
    pub(crate) literals: Vec<(usize, String)>,
    /// String literals in tests.
    pub(crate) test_literals: Vec<String>,
    /// Lines of `#[ignore]` without a reason.
    pub(crate) bare_ignores: Vec<usize>,
}

/// A function and how long it is.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// A module: what it defines and what it names.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Names of the items it defines.
    pub(crate) items: BTreeSet<String>,
    /// Modules that are files of their own.
    pub(crate) children: Vec<String>,
    /// Modules of tests that are files of their own.
    pub(crate) tests: Vec<String>,
    /// Modules that are written out.
    pub(crate) inline: BTreeMap<String, Module>,
    /// Imports by the name they go by: re-exports too.
    pub(crate) names: BTreeMap<String, Segments>,
    /// Modules whose items are all imported.
    pub(crate) globs: Vec<Segments>,
    /// Paths that the module's code depends on: imports that are not re-exports, and paths in its items.
    pub(crate) paths: BTreeSet<Segments>,
    /// Paths that the module re-exports.
    pub(crate) reexports: BTreeSet<Segments>,
}

impl Source {
    /// Parses a file. A file of `tests/` is a test as a whole.
    ///
    /// # Errors
    /// When the text is not Rust.
    pub(crate) fn parse(path: &str, text: &str) -> anyhow::Result<Self> {
        let file = syn::parse_file(text)
            .map_err(|error| anyhow::anyhow!("{path}:{}: {error}", error.span().start().line))?;
        let mut walk = Walk { in_test: path.contains("/tests/"), ..Walk::default() };
        walk.visit_file(&file);
        Ok(Self {
            path: path.to_owned(),
            lines: text.lines().count() - test_lines(&file.items),
            module: Module::of(&file.items),
            functions: walk.functions,
            literals: walk.literals,
            test_literals: walk.test_literals,
            bare_ignores: walk.bare_ignores,
        })
    }
}

fn test_lines(items: &[Item]) -> usize {
    let of_tests = items.iter().filter_map(|item| match item {
        Item::Mod(module) if is_test(&module.attrs) => Some(lines_of(module)),
        _ => None,
    });
    of_tests.sum()
}

fn lines_of(node: &impl Spanned) -> usize {
    let span = node.span();
    span.end().line + 1 - span.start().line
}

impl Module {
    fn of(items: &[Item]) -> Self {
        let mut module = Self::default();
        module.tests.extend(items.iter().filter_map(|item| match item {
            Item::Mod(inner) if inner.content.is_none() && is_test(&inner.attrs) => {
                Some(inner.ident.to_string())
            }
            _ => None,
        }));
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(inner) => module.enter(inner),
                Item::Use(import) => module.import(import),
                other => {
                    module.items.extend(name_of(other));
                    let mut paths = Paths(&mut module.paths);
                    paths.visit_item(other);
                }
            }
        }
        module
    }

    fn enter(&mut self, inner: &ItemMod) {
        let name = inner.ident.to_string();
        match &inner.content {
            Some((_, items)) => {
                self.inline.insert(name, Self::of(items));
            }
            None => self.children.push(name),
        }
    }

    fn import(&mut self, import: &ItemUse) {
        // `pub(self)` is private by another word.
        let is_reexport = match &import.vis {
            Visibility::Inherited => false,
            Visibility::Restricted(to) => !to.path.is_ident("self"),
            Visibility::Public(_) => true,
        };
        let mut leaves = Vec::new();
        flatten(&import.tree, &mut Vec::new(), &mut leaves);
        for (path, name) in leaves {
            let mut used = path.clone();
            if name.is_none() {
                used.push("*".to_owned());
            }
            if is_reexport {
                self.reexports.insert(used)
            } else {
                self.paths.insert(used)
            };
            match name {
                Some(name) => {
                    self.names.insert(name, path);
                }
                None => self.globs.push(path),
            }
        }
    }
}

/// The leaves of a `use`, each with the name it goes by; `None` for a glob.
fn flatten(tree: &UseTree, prefix: &mut Segments, leaves: &mut Vec<(Segments, Option<String>)>) {
    let joined = |last: &syn::Ident| prefix.iter().cloned().chain([last.to_string()]).collect::<Segments>();
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((prefix.clone(), prefix.last().cloned()));
        }
        UseTree::Name(name) => leaves.push((joined(&name.ident), Some(name.ident.to_string()))),
        UseTree::Rename(rename) if rename.ident == "self" => {
            leaves.push((prefix.clone(), Some(rename.rename.to_string())));
        }
        UseTree::Rename(rename) => leaves.push((joined(&rename.ident), Some(rename.rename.to_string()))),
        UseTree::Glob(_) => leaves.push((prefix.clone(), None)),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix, leaves));
        }
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// True for what only tests are built with.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

/// Collects paths of two segments and more.
struct Paths<'p>(&'p mut BTreeSet<Segments>);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let mut leaves = Vec::new();
        flatten(&import.tree, &mut Vec::new(), &mut leaves);
        self.0.extend(leaves.into_iter().map(|(path, _)| path));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }
}

impl Paths<'_> {
    /// Reads `a::b::c` out of a macro's tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Segments) {
        if path.len() > 1 {
            self.0.insert(std::mem::take(path));
        } else {
            path.clear();
        }
    }
}

/// Collects what is counted: functions, literals, bare ignores.
#[derive(Default)]
struct Walk {
    in_test: bool,
    functions: Vec<Function>,
    literals: Vec<(usize, String)>,
    test_literals: Vec<String>,
    bare_ignores: Vec<usize>,
}

impl Walk {
    fn enter<'n, T>(&mut self, attributes: &[Attribute], node: &'n T, visit: impl FnOnce(&mut Self, &'n T)) {
        let outer = self.in_test;
        self.in_test |= is_test(attributes);
        visit(self, node);
        self.in_test = outer;
    }

    fn function(&mut self, attributes: &[Attribute], signature: &Signature, block: &Block) {
        let bare =
            attributes.iter().filter(|a| a.path().is_ident("ignore") && a.meta.require_path_only().is_ok());
        self.bare_ignores.extend(bare.map(|attribute| attribute.span().start().line));
        if !self.in_test && !is_test(attributes) {
            let (first, last) = (signature.span().start().line, block.span().end().line);
            let name = signature.ident.to_string();
            self.functions.push(Function { name, line: first, lines: last + 1 - first });
        }
    }

    fn literal(&mut self, line: usize, value: String) {
        if self.in_test {
            self.test_literals.push(value);
        } else {
            self.literals.push((line, value));
        }
    }

    fn literals_of(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.literals_of(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.literal(line, text.value());
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.enter(&module.attrs, module, syn::visit::visit_item_mod);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.attrs, &function.sig, &function.block);
        self.enter(&function.attrs, function, syn::visit::visit_item_fn);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.attrs, &function.sig, &function.block);
        self.enter(&function.attrs, function, |walk, function| {
            syn::visit::visit_impl_item_fn(walk, function)
        });
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.literal(literal.span().start().line, literal.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.literals_of(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
