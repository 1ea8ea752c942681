//! The static record: what the macros left in the library.

use crate::error::Error;
use longshore_workflow::private::{RECORD_MAGIC, RecordKind};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// Longest text of the wire types, in bytes: that of this release is a tenth of it.
const MAX_WIRE: usize = 64 * 1024;

/// Most records of one library.
const MAX_RECORDS: usize = 100_000;

/// Everything a library says about itself without being run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticRecord {
    /// The package.
    pub package: PackageRecord,
    /// Its workflows, sorted by tenant and name.
    pub workflows: Vec<WorkflowRecord>,
    /// Its tasks, sorted by tenant, workflow and id.
    pub tasks: Vec<TaskRecord>,
    /// Its triggers, sorted by name.
    pub triggers: Vec<TriggerRecord>,
    /// Its reactors, sorted by name.
    pub reactors: Vec<ReactorRecord>,
    /// Its accumulators, sorted by name and module.
    pub accumulators: Vec<AccumulatorRecord>,
    /// Its graphs, sorted by name.
    pub graphs: Vec<GraphRecord>,
}

/// The package's identity, its build, and the interface it speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageRecord {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// Its purpose.
    pub description: String,
    /// Its authors, separated by `:`.
    pub authors: String,
    /// SPDX expression.
    pub license: String,
    /// The version of Longshore it was built with.
    pub sdk: String,
    /// The interface version it speaks.
    pub interface_version: u32,
    /// Hash of the required methods.
    pub interface_hash: String,
    /// The fields of every wire type, one type a line.
    pub wire: String,
    /// `unwind` or `abort`.
    pub panic: String,
    /// Architecture it was compiled for.
    pub arch: String,
    /// Operating system it was compiled for.
    pub os: String,
    /// Target triple, empty when not stamped.
    pub target: String,
    /// Compiler, empty when not stamped.
    pub compiler: String,
    /// Cargo features, empty when not stamped.
    pub features: String,
    /// Cargo profile, empty when not stamped.
    pub profile: String,
    /// Version of the build helper that gave the linker its arguments, empty when none did.
    pub configured: String,
}

/// A workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRecord {
    /// Module path.
    pub module: String,
    /// The name.
    pub name: String,
    /// The tenant.
    pub tenant: String,
    /// Its purpose.
    pub description: String,
    /// Its inputs as (name, type, default as written).
    pub params: Vec<(String, String, Option<String>)>,
    /// The triggers that it subscribes to.
    pub triggers: Vec<String>,
    /// Its secrets.
    pub secrets: Vec<String>,
    /// Its author.
    pub author: String,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// The workflow, empty outside one.
    pub workflow: String,
    /// The workflow's tenant.
    pub tenant: String,
    /// The id.
    pub id: String,
    /// Ids of the tasks it waits for.
    pub dependencies: Vec<String>,
    /// Its rule as JSON, empty for the default.
    pub rule: String,
    /// Its retry policy as JSON.
    pub retry: String,
    /// Its description, from the doc comment.
    pub what: String,
    /// Why.
    pub why: String,
    /// Digest of signature and body.
    pub fingerprint: String,
    /// The graph that it calls, or empty.
    pub invokes: String,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerRecord {
    /// Module path.
    pub module: String,
    /// The name.
    pub name: String,
    /// The workflow it starts.
    pub workflow: String,
    /// Cron expression, empty for polls.
    pub cron: String,
    /// IANA name, empty for polls.
    pub timezone: String,
    /// Between polls in milliseconds, empty when it is not polled.
    pub poll_interval_ms: String,
    /// The reactor whose firings start the workflow, or empty.
    pub reactor: String,
    /// The rule over a firing's outputs as JSON, or empty.
    pub when: String,
    /// `true` when it starts a run while another one of it goes on.
    pub allow_concurrent: String,
}

/// A reactor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactorRecord {
    /// Module path.
    pub module: String,
    /// The name.
    pub name: String,
    /// Its sources, in order.
    pub sources: Vec<String>,
    /// `when_any` or `when_all`.
    pub criteria: String,
    /// The sources the criteria look at.
    pub criteria_sources: Vec<String>,
    /// `latest` or `sequential`.
    pub input_strategy: String,
}

/// An accumulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccumulatorRecord {
    /// Module path.
    pub module: String,
    /// The name.
    pub name: String,
    /// `passthrough`, `polling`, `batch`, `stream` or `state`.
    pub kind: String,
    /// Its arguments as JSON.
    pub config: String,
}

/// A computation graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphRecord {
    /// Module path.
    pub module: String,
    /// The name.
    pub name: String,
    /// The reactor it is bound to, or empty.
    pub reactor: String,
    /// Its nodes.
    pub nodes: Vec<String>,
    /// Its edges as (from, to, variant or empty).
    pub edges: Vec<(String, String, String)>,
    /// Nodes without outgoing edges.
    pub terminals: Vec<String>,
    /// (node, source), for every source that a node takes.
    pub inputs: Vec<(String, String)>,
}

type Fields = BTreeMap<String, String>;

#[derive(Deserialize)]
struct RawParam {
    name: String,
    r#type: String,
    default: Option<String>,
}

impl StaticRecord {
    /// Reads the records of a section.
    ///
    /// # Errors
    /// [`Error::BrokenRecord`] where the bytes stop making sense; [`Error::NoRecord`] when no record
    /// describes the package itself.
    pub fn parse(section: &[u8]) -> Result<Self, Error> {
        let mut raw = split(section)?;
        let package = raw.iter().position(|(kind, _)| *kind == RecordKind::Package).ok_or(Error::NoRecord)?;
        let (_, package) = raw.swap_remove(package);
        if raw.iter().any(|(kind, _)| *kind == RecordKind::Package) {
            return Err(Error::BrokenRecord {
                at: 0,
                message: "two packages describe themselves in one library".into(),
            });
        }
        let of = |kind| raw.iter().filter(move |(k, _)| *k == kind).map(|(_, fields)| fields);
        let mut workflows = of(RecordKind::Workflow).map(workflow).collect::<Result<Vec<_>, _>>()?;
        workflows.sort_by(|a, b| (&a.tenant, &a.name).cmp(&(&b.tenant, &b.name)));
        let by_module: ByModule<'_> = workflows.iter().map(|w| (w.module.as_str(), w)).collect();
        let mut tasks = of(RecordKind::Task).map(|f| task(f, &by_module)).collect::<Result<Vec<_>, _>>()?;
        tasks.sort_by(|a, b| (&a.tenant, &a.workflow, &a.id).cmp(&(&b.tenant, &b.workflow, &b.id)));
        let mut triggers: Vec<_> = of(RecordKind::Trigger).map(trigger).collect();
        triggers.sort_by(|a, b| a.name.cmp(&b.name));
        let mut reactors = of(RecordKind::Reactor).map(reactor).collect::<Result<Vec<_>, _>>()?;
        reactors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut accumulators: Vec<_> = of(RecordKind::Accumulator).map(accumulator).collect();
        accumulators.sort_by(|a, b| (&a.name, &a.module).cmp(&(&b.name, &b.module)));
        let mut graphs = of(RecordKind::Graph).map(graph).collect::<Result<Vec<_>, _>>()?;
        graphs.sort_by(|a, b| a.name.cmp(&b.name));
        let package = package_record(&package);
        if package.wire.len() > MAX_WIRE {
            return Err(broken(0, format!("field `wire` has {} bytes, over {MAX_WIRE}", package.wire.len())));
        }
        Ok(Self { package, workflows, tasks, triggers, reactors, accumulators, graphs })
    }

    /// Checks that no two triggers, reactors or graphs of a reactor have the same name: on a host one would take the place
    /// of the other.
    ///
    /// # Errors
    /// [`Error::TwoEntries`] with both modules.
    pub fn check_names(&self) -> Result<(), Error> {
        let triggers = self.triggers.iter().map(|t| ("trigger", &t.name, "", &t.module));
        let reactors = self.reactors.iter().map(|r| ("reactor", &r.name, "", &r.module));
        let bound = self.graphs.iter().filter(|graph| !graph.reactor.is_empty());
        let graphs = bound.map(|g| ("graph", &g.name, g.reactor.as_str(), &g.module));
        let mut seen = HashMap::new();
        for (kind, name, reactor, module) in triggers.chain(reactors).chain(graphs) {
            if let Some(first) = seen.insert((kind, name, reactor), module) {
                let modules = [first.clone(), module.clone()];
                return Err(Error::TwoEntries { kind, name: name.clone(), modules });
            }
        }
        Ok(())
    }

    /// The records of a library.
    ///
    /// # Errors
    /// As [`crate::read_section`] and [`StaticRecord::parse`].
    pub fn of_library(library: &[u8]) -> Result<Self, Error> {
        Self::parse(crate::section::read_section(library)?)
    }
}

fn broken(at: usize, message: impl Into<String>) -> Error {
    Error::BrokenRecord { at, message: message.into() }
}

/// Splits a section into its records. Linkers may pad between them with zeros.
fn split(section: &[u8]) -> Result<Vec<(RecordKind, Fields)>, Error> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < section.len() {
        if section[at] == 0 {
            at += 1;
            continue;
        }
        if !section[at..].starts_with(&RECORD_MAGIC) {
            return Err(broken(at, "no record begins here"));
        }
        at += RECORD_MAGIC.len();
        let len = read_len::<4>(section, &mut at)?;
        let body = section.get(at..at.saturating_add(len)).ok_or_else(|| broken(at, "the record is cut"))?;
        records.push(read_record(body, at)?);
        at += len;
        if records.len() > MAX_RECORDS {
            let (actual, limit) = (records.len() as u64, MAX_RECORDS as u64);
            return Err(Error::OverLimit { what: "the number of static records".into(), actual, limit });
        }
    }
    Ok(records)
}

fn read_record(body: &[u8], offset: usize) -> Result<(RecordKind, Fields), Error> {
    let kind = body.first().ok_or_else(|| broken(offset, "an empty record"))?;
    let kind = RecordKind::from_u8(*kind).ok_or_else(|| broken(offset, format!("unknown kind {kind}")))?;
    let mut fields = Fields::new();
    let mut at = 1;
    while at < body.len() {
        let key_len = read_len::<2>(body, &mut at)?;
        let value_len = read_len::<4>(body, &mut at)?;
        let key = read_text(body, &mut at, key_len, offset)?;
        let value = read_text(body, &mut at, value_len, offset)?;
        fields.insert(key, value);
    }
    Ok((kind, fields))
}

fn read_len<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<usize, Error> {
    let digits = bytes.get(*at..*at + N).ok_or_else(|| broken(*at, "a length is cut"))?;
    *at += N;
    Ok(digits.iter().rev().fold(0, |len, digit| len << 8 | usize::from(*digit)))
}

fn read_text(bytes: &[u8], at: &mut usize, len: usize, offset: usize) -> Result<String, Error> {
    let text =
        bytes.get(*at..at.saturating_add(len)).ok_or_else(|| broken(offset + *at, "a field is cut"))?;
    *at += len;
    String::from_utf8(text.to_vec()).map_err(|_| broken(offset + *at, "a field is not UTF-8"))
}

fn text(fields: &Fields, key: &str) -> String {
    fields.get(key).cloned().unwrap_or_default()
}

fn json<T: for<'de> Deserialize<'de>>(fields: &Fields, key: &str) -> Result<T, Error> {
    let value = fields.get(key).map_or("null", String::as_str);
    serde_json::from_str(value).map_err(|e| broken(0, format!("field `{key}`: {e}")))
}

/// A list that records of earlier releases do not have.
fn optional_list(fields: &Fields, key: &str) -> Result<Vec<String>, Error> {
    if fields.contains_key(key) { json(fields, key) } else { Ok(Vec::new()) }
}

fn package_record(fields: &Fields) -> PackageRecord {
    PackageRecord {
        name: text(fields, "name"),
        version: text(fields, "version"),
        description: text(fields, "description"),
        authors: text(fields, "authors"),
        license: text(fields, "license"),
        sdk: text(fields, "sdk"),
        interface_version: text(fields, "interface_version").parse().unwrap_or(0),
        interface_hash: text(fields, "interface_hash"),
        wire: text(fields, "wire"),
        panic: text(fields, "panic"),
        arch: text(fields, "arch"),
        os: text(fields, "os"),
        target: text(fields, "target"),
        compiler: text(fields, "compiler"),
        features: text(fields, "features"),
        profile: text(fields, "profile"),
        configured: text(fields, "configured"),
    }
}

fn workflow(fields: &Fields) -> Result<WorkflowRecord, Error> {
    let params: Vec<RawParam> = json(fields, "params")?;
    Ok(WorkflowRecord {
        module: text(fields, "module"),
        name: text(fields, "name"),
        tenant: text(fields, "tenant"),
        description: text(fields, "description"),
        params: params.into_iter().map(|p| (p.name, p.r#type, p.default)).collect(),
        triggers: optional_list(fields, "triggers")?,
        secrets: optional_list(fields, "secrets")?,
        author: text(fields, "author"),
    })
}

/// Workflows by the module that they stand in.
type ByModule<'w> = HashMap<&'w str, &'w WorkflowRecord>;

/// Deepest module that a workflow of a task is looked for in.
const MAX_MODULE_DEPTH: usize = 64;

/// The workflow in whose module, or in a module below that, something stands.
fn enclosing<'w>(module: &str, workflows: &ByModule<'w>) -> Option<&'w WorkflowRecord> {
    let mut modules = std::iter::successors(Some(module), |module| Some(module.rsplit_once("::")?.0));
    let mut modules = modules.by_ref().take(MAX_MODULE_DEPTH);
    modules.find_map(|module| workflows.get(module).copied())
}

fn task(fields: &Fields, workflows: &ByModule<'_>) -> Result<TaskRecord, Error> {
    let workflow = enclosing(&text(fields, "module"), workflows);
    Ok(TaskRecord {
        workflow: workflow.map(|w| w.name.clone()).unwrap_or_default(),
        tenant: workflow.map_or_else(|| "public".to_owned(), |w| w.tenant.clone()),
        id: text(fields, "id"),
        dependencies: json(fields, "dependencies")?,
        rule: text(fields, "rule"),
        retry: text(fields, "retry"),
        what: text(fields, "what"),
        why: text(fields, "why"),
        fingerprint: text(fields, "fingerprint"),
        invokes: text(fields, "invokes"),
    })
}

fn trigger(fields: &Fields) -> TriggerRecord {
    TriggerRecord {
        module: text(fields, "module"),
        name: text(fields, "name"),
        workflow: text(fields, "workflow"),
        cron: text(fields, "cron"),
        timezone: text(fields, "timezone"),
        poll_interval_ms: text(fields, "poll_interval_ms"),
        reactor: text(fields, "reactor"),
        when: text(fields, "when"),
        allow_concurrent: text(fields, "allow_concurrent"),
    }
}

fn reactor(fields: &Fields) -> Result<ReactorRecord, Error> {
    Ok(ReactorRecord {
        module: text(fields, "module"),
        name: text(fields, "name"),
        sources: json(fields, "accumulators")?,
        criteria: text(fields, "criteria"),
        criteria_sources: json(fields, "criteria_sources")?,
        input_strategy: text(fields, "input_strategy"),
    })
}

fn accumulator(fields: &Fields) -> AccumulatorRecord {
    AccumulatorRecord {
        module: text(fields, "module"),
        name: text(fields, "name"),
        kind: text(fields, "kind"),
        config: text(fields, "config"),
    }
}

fn graph(fields: &Fields) -> Result<GraphRecord, Error> {
    Ok(GraphRecord {
        module: text(fields, "module"),
        name: text(fields, "name"),
        reactor: text(fields, "reactor"),
        nodes: json(fields, "nodes")?,
        edges: json(fields, "edges")?,
        terminals: json(fields, "terminals")?,
        inputs: json(fields, "inputs")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_workflow::private::{encode, encoded_len};
    use proptest::prelude::*;

    const PACKAGE: &[(&str, &str)] = &[("name", "p"), ("interface_version", "2"), ("panic", "unwind")];
    const FLOW: &[(&str, &str)] =
        &[("module", "p::flow"), ("name", "flow"), ("tenant", "public"), ("params", "[]")];
    const TASK: &[(&str, &str)] = &[("module", "p::flow"), ("id", "a"), ("dependencies", "[\"b\"]")];

    fn section() -> Vec<u8> {
        const P: [u8; encoded_len(PACKAGE)] = encode(RecordKind::Package, PACKAGE);
        const F: [u8; encoded_len(FLOW)] = encode(RecordKind::Workflow, FLOW);
        const T: [u8; encoded_len(TASK)] = encode(RecordKind::Task, TASK);
        [&T[..], &[0, 0, 0], &P[..], &F[..], &[0]].concat()
    }

    #[test]
    fn records_read_back_in_any_order_and_padding() {
        let record = StaticRecord::parse(&section()).expect("own section");
        assert_eq!((record.package.name.as_str(), record.package.interface_version), ("p", 2));
        assert_eq!(record.tasks[0].workflow, "flow");
        assert_eq!(record.tasks[0].dependencies, ["b"]);
    }

    #[test]
    fn two_entries_of_one_name_are_named_with_their_modules() {
        const ONE: &[(&str, &str)] = &[("module", "p::a"), ("name", "nightly"), ("workflow", "x")];
        const TWO: &[(&str, &str)] = &[("module", "p::b"), ("name", "nightly"), ("workflow", "y")];
        const A: [u8; encoded_len(ONE)] = encode(RecordKind::Trigger, ONE);
        const B: [u8; encoded_len(TWO)] = encode(RecordKind::Trigger, TWO);
        let record =
            |more: &[&[u8]]| StaticRecord::parse(&[section(), more.concat()].concat()).expect("reads");
        record(&[&A]).check_names().expect("one of each");
        let error = record(&[&A, &B]).check_names().expect_err("two triggers");
        let text = error.to_string();
        assert!(error.code() == "LS0209" && text.contains("p::a") && text.contains("p::b"), "{text}");
    }

    #[test]
    fn a_section_without_a_package_is_no_record() {
        const T: [u8; encoded_len(TASK)] = encode(RecordKind::Task, TASK);
        assert_eq!(StaticRecord::parse(&T).expect_err("no package").code(), "LS0202");
    }

    #[test]
    fn a_cut_record_names_its_byte() {
        let mut bytes = section();
        bytes.truncate(bytes.len() - 5);
        let error = StaticRecord::parse(&bytes).expect_err("cut");
        assert_eq!(error.code(), "LS0203", "{error}");
    }

    #[test]
    fn bytes_that_are_not_a_library_are_refused() {
        let error = StaticRecord::of_library(b"#!/bin/sh").expect_err("a script");
        assert_eq!(error.code(), "LS0201", "{error}");
    }

    proptest! {
        #[test]
        fn damaged_sections_never_panic(at in 0_usize..100, byte: u8, cut in 0_usize..100) {
            let mut bytes = section();
            let at = at % bytes.len();
            bytes[at] = byte;
            let keep = bytes.len() - cut.min(bytes.len());
            let _ = StaticRecord::parse(&bytes[..keep]);
        }
    }
}
