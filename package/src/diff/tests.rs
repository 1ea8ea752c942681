use super::*;
use crate::record::{GraphRecord, ReactorRecord, TaskRecord, TriggerRecord, WorkflowRecord};

fn trigger(cron: &str) -> TriggerRecord {
    TriggerRecord {
        module: String::new(),
        name: "nightly".into(),
        workflow: "w".into(),
        cron: cron.into(),
        timezone: "UTC".into(),
        poll_interval_ms: String::new(),
        reactor: String::new(),
        when: String::new(),
        allow_concurrent: "false".into(),
    }
}

fn record(params: &[(&str, &str, Option<&str>)], cron: Option<&str>) -> StaticRecord {
    let params =
        params.iter().map(|(n, t, d)| ((*n).to_owned(), (*t).to_owned(), d.map(str::to_owned))).collect();
    StaticRecord {
        package: PackageRecord::default(),
        workflows: vec![WorkflowRecord {
            module: String::new(),
            name: "w".into(),
            tenant: "public".into(),
            description: String::new(),
            params,
            triggers: Vec::new(),
            secrets: Vec::new(),
            author: String::new(),
        }],
        tasks: Vec::new(),
        triggers: cron.into_iter().map(trigger).collect(),
        reactors: Vec::new(),
        accumulators: Vec::new(),
        graphs: Vec::new(),
    }
}

fn task(retry: &str, code: &str) -> TaskRecord {
    TaskRecord {
        workflow: "w".into(),
        tenant: "public".into(),
        id: "a".into(),
        dependencies: Vec::new(),
        rule: String::new(),
        retry: retry.into(),
        what: String::new(),
        why: String::new(),
        fingerprint: code.into(),
        invokes: String::new(),
    }
}

fn reactor(sources: &[&str]) -> ReactorRecord {
    let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
    ReactorRecord {
        module: String::new(),
        name: "market".into(),
        criteria: "when_any".into(),
        criteria_sources: sources.clone(),
        sources,
        input_strategy: "latest".into(),
    }
}

/// Changes as lines, those of fields behind them.
fn lines(old: &StaticRecord, new: &StaticRecord) -> Vec<String> {
    let of_change = |change: Change| {
        let fields = change.fields.iter().map(|field| format!("    {field}"));
        std::iter::once(change.to_string()).chain(fields).collect::<Vec<_>>()
    };
    diff(old, new).into_iter().flat_map(of_change).collect()
}

fn step(old: &StaticRecord, new: &StaticRecord) -> Option<Step> {
    compare(old, new).step
}

#[test]
fn each_field_that_differs_is_named_with_both_texts() {
    let old = record(&[("a", "u64", None), ("b", "String", None), ("e", "u8", Some("1"))], Some("0 1 * * *"));
    let new =
        record(&[("a", "String", None), ("c", "u8", None), ("d", "u8", Some("1")), ("e", "u8", None)], None);
    assert_eq!(
        lines(&old, &new),
        [
            "~ param public::w::a  (it was u64 and is String)",
            "    type: u64 -> String",
            "- param public::w::b  (starts that give it are refused)",
            "+ param public::w::c  (starts without it are refused)",
            "+ param public::w::d",
            "~ param public::w::e  (starts without it are refused)",
            "    default: 1 -> nothing",
            "- trigger nightly  (it fires no more)",
        ]
    );
    assert_eq!((diff(&old, &old), step(&old, &old)), (vec![], None));
    let mut moved = old.clone();
    moved.triggers = vec![TriggerRecord { allow_concurrent: "true".into(), ..trigger("0 2 * * *") }];
    moved.workflows[0].triggers.push("hourly".into());
    moved.workflows[0].params[2].2 = Some("7".into());
    assert_eq!(
        lines(&old, &moved),
        [
            "~ param public::w::e",
            "    default: 1 -> 7",
            "~ trigger nightly",
            "    allow_concurrent: false -> true",
            "    cron: 0 1 * * * -> 0 2 * * *",
            "~ workflow public::w",
            "    triggers: nothing -> hourly",
        ]
    );
    assert_eq!((step(&old, &moved), step(&old, &new)), (Some(Step::Minor), Some(Step::Major)));
}

#[test]
fn retries_rules_and_reactions_are_compared_key_by_key() {
    let with = |retry: &str, code: &str, rule: &str, when: &str| {
        let mut record = record(&[], Some("0 1 * * *"));
        record.tasks.push(TaskRecord { rule: rule.into(), ..task(retry, code) });
        record.triggers[0].when = when.into();
        record
    };
    let old = with(r#"{"attempts":3,"delay_ms":1000}"#, "1", r#""always""#, "");
    let new = with(r#"{"attempts":5,"delay_ms":1000}"#, "2", "", r#"{"exists":"x"}"#);
    assert_eq!(
        lines(&old, &new),
        [
            "~ task public::w::a",
            "    code",
            "    retry.attempts: 3 -> 5",
            "    rule: \"always\" -> nothing",
            "~ trigger nightly",
            "    when: nothing -> {\"exists\":\"x\"}",
        ]
    );
    let code_alone = with(r#"{"attempts":3,"delay_ms":1000}"#, "2", r#""always""#, "");
    assert_eq!(step(&old, &code_alone), Some(Step::Patch));
}

#[test]
fn whatever_others_are_bound_to_asks_for_a_major_step() {
    let with = |sources: &[&str], terminals: &[&str], secrets: &[&str]| {
        let mut record = record(&[], None);
        record.reactors.push(reactor(sources));
        record.workflows[0].secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        record.graphs.push(GraphRecord {
            module: String::new(),
            name: "g".into(),
            reactor: "market".into(),
            nodes: vec!["n".into()],
            edges: Vec::new(),
            terminals: terminals.iter().map(|terminal| (*terminal).to_owned()).collect(),
            inputs: Vec::new(),
        });
        record
    };
    let old = with(&["book", "trade"], &["n"], &[]);
    for (new, is_major) in [
        (with(&["book", "trade", "clock"], &["n"], &[]), false),
        (with(&["book"], &["n"], &[]), true),
        (with(&["book", "trade"], &[], &[]), true),
        (with(&["book", "trade"], &["n"], &["key"]), true),
    ] {
        let compared = compare(&old, &new);
        assert_eq!((compared.step == Some(Step::Major), !compared.fits_old_packages), (is_major, is_major));
    }
}

#[test]
fn a_new_field_of_a_wire_type_does_not_fit_old_hosts() {
    use longshore_workflow_plugin::wire::WIRE_SCHEMA;
    let mut old = record(&[], None);
    old.package.interface_version = crate::INTERFACE_VERSION;
    old.package.wire = WIRE_SCHEMA.to_owned();
    let mut new = old.clone();
    new.package.sdk = "0.2.0".into();
    assert_eq!(compare(&old, &new).step, Some(Step::Patch));
    new.package.wire = new.package.wire.replace("attempt:u32", "attempt:u64");
    let compared = compare(&old, &new);
    assert_eq!((compared.fits_old_hosts, compared.step), (false, Some(Step::Major)));
    let build: Vec<String> = compared.build.iter().map(ToString::to_string).collect();
    assert_eq!(build, ["release of longshore: nothing -> 0.2.0", "wire type StartTask.attempt: u32 -> u64"]);
}
