//! Seeds of each target, beside the corpus that is kept.

use longshore_package::trust::{Role, Signature};
use longshore_package::{Digest, Manifest, digest_of_files, pack, target_path, with_signatures};
use longshore_workflow::private::{RecordKind, encode, encoded_len};
use longshore_workflow_plugin::wire::{ShellConfig, TaskRequest, Wire};
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;
use std::path::Path;

const MANIFEST: &str = "[package]\nname = \"p\"\nversion = \"1.0.0\"\ndescription = \"d\"\nauthors = [\"a\"]\nsdk = \"0.1.0\"\n\
                        interface = 2\nisolation = \"process\"\n[limits]\nmemory_mb = 64\n[on_upgrade]\nw = \"migrate\"\n";

/// The inputs that a target begins with.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "archive" => archives(),
        "archive_files" => vec![
            [b"package.toml\n", MANIFEST.as_bytes(), b"\xfftargets/here/libp.so\ncode\xffassets/a\nb"].concat(),
            [
                b"package.toml\n",
                MANIFEST.as_bytes(),
                b"\xffrecords/here\n",
                &section(),
                b"\xfftargets/here/libp.so\n",
            ]
            .concat(),
        ],
        "manifest" => vec![MANIFEST.into(), format!("{}  a\n", "0".repeat(64)).into()],
        "record" => vec![section()],
        "library" => vec![elf()],
        "signature" => vec![signature().armored().into(), signature().armored().repeat(2).into()],
        "signers" => vec![
            format!("a@b.c,!x namespaces=\"longshore\",valid-after=\"20200101Z\" {}\n# end\n", public()).into(),
            public().into(),
        ],
        "policy" => vec![
            b"policy = \"require\"\nallowed_signers = \"allowed\"\nroles = [\"author\"]\ndowngrade = \"allow\"\n\
              [[rules]]\npackages = [\"a-*\"]\ntenants = [\"x\"]\npolicy = \"warn\"\nsigners = [\"?@b\"]\n"
                .to_vec(),
        ],
        "wire" => vec![
            TaskRequest::Cancel { lease: 7 }.encode(),
            ShellConfig { workers: 1, log_level: 2, shutdown_ms: 3 }.encode(),
        ],
        "index" => vec![index().into_bytes(), b"p@^1.2, <1.9".to_vec(), b"p@stable".to_vec(), b"p@1.0.0-rc.1".to_vec()],
        _ => Vec::new(),
    }
}

/// An index with a release that is signed, yanked, and behind a channel.
fn index() -> String {
    let (digest, signature) = (digest_of_files([("a", "sum")]), signature().armored());
    format!(
        "{{\"format\": 1, \"name\": \"p\", \"channels\": {{\"stable\": \"1.0.0\"}}, \"releases\": [{{\"version\": \"1.0.0\", \
         \"digest\": \"{digest}\", \"sha256\": \"{digest}\", \"bytes\": 7, \"targets\": [\"here\"], \"signatures\": [{signature:?}], \
         \"published_at\": 1, \"yanked\": {{\"reason\": \"wrong\"}}}}]}}"
    )
}

fn signature() -> Signature {
    signature_of(&digest_of_files([("a", "sum")]))
}

fn signature_of(digest: &Digest) -> Signature {
    Signature::sign(&key(), Role::Author, digest).unwrap_or_else(|e| panic!("{e}"))
}

/// A key that signs nothing else, the same each time.
fn key() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]))
}

fn public() -> String {
    key().public_key().to_openssh().unwrap_or_else(|e| panic!("{e}"))
}

fn archives() -> Vec<Vec<u8>> {
    let manifest = Manifest::parse(MANIFEST).unwrap_or_else(|e| panic!("{e}"));
    let files = [(target_path("here", "libp.so"), elf()), ("assets/a".to_owned(), b"asset".to_vec())];
    let (digest, plain) = pack(&manifest, &files).unwrap_or_else(|e| panic!("{e}"));
    let signed = with_signatures(&plain, &[signature_of(&digest)], Path::new("seed"))
        .unwrap_or_else(|e| panic!("{e}"));
    vec![plain, signed]
}

const PACKAGE: &[(&str, &str)] =
    &[("name", "p"), ("version", "1.0.0"), ("interface_version", "2"), ("wire", "A{b:u8,}\n")];
const FLOW: &[(&str, &str)] = &[
    ("module", "p::flow"),
    ("name", "flow"),
    ("tenant", "public"),
    ("params", "[{\"name\":\"n\",\"type\":\"u8\",\"default\":\"1\"}]"),
];
const TASK: &[(&str, &str)] =
    &[("module", "p::flow"), ("id", "a"), ("dependencies", "[\"b\"]"), ("retry", "{\"attempts\":3}")];
const GRAPH: &[(&str, &str)] = &[
    ("module", "p"),
    ("name", "g"),
    ("nodes", "[\"n\"]"),
    ("edges", "[[\"n\",\"m\",\"\"]]"),
    ("terminals", "[\"m\"]"),
    ("inputs", "[[\"n\",\"s\"]]"),
];

fn section() -> Vec<u8> {
    const P: [u8; encoded_len(PACKAGE)] = encode(RecordKind::Package, PACKAGE);
    const F: [u8; encoded_len(FLOW)] = encode(RecordKind::Workflow, FLOW);
    const T: [u8; encoded_len(TASK)] = encode(RecordKind::Task, TASK);
    const G: [u8; encoded_len(GRAPH)] = encode(RecordKind::Graph, GRAPH);
    [&P[..], &F[..], &T[..], &[0], &G[..]].concat()
}

/// The smallest ELF with the section of a static record: header, section, names of sections, table of sections.
fn elf() -> Vec<u8> {
    const NAMES: &[u8] = b"\0.longshore\0.shstrtab\0";
    let record = section();
    let (at, names) = (64, 64 + record.len());
    let table = (names + NAMES.len()).next_multiple_of(8);
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([0; 16]);
    elf.extend((table as u64).to_le_bytes());
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
    elf.extend(&record);
    elf.extend(NAMES);
    elf.resize(table + 64, 0);
    for (name, kind, offset, size) in [(1_u32, 1_u32, at, record.len()), (12, 3, names, NAMES.len())] {
        elf.extend(name.to_le_bytes());
        elf.extend(kind.to_le_bytes());
        elf.extend([0; 16]);
        elf.extend((offset as u64).to_le_bytes());
        elf.extend((size as u64).to_le_bytes());
        elf.extend([0; 8]);
        elf.extend(1_u64.to_le_bytes());
        elf.extend([0; 8]);
    }
    elf
}
