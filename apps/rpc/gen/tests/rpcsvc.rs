//! Every interface file that Debian has passes through the generator, and the compiler has nothing to say about the result.

use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tapstack_rpcgen::Generator;
use tapstack_tests::skips::{self, Need, Outcome, ensure};

/// Where the packages `rpcsvc-proto` and `libnsl-dev` have theirs.
const FOLDER: &str = "/usr/include/rpcsvc";

/// Files of either package.
const FILES: [&str; 17] = [
    "bootparam_prot.x",
    "key_prot.x",
    "klm_prot.x",
    "mount.x",
    "nfs_prot.x",
    "nis.x",
    "nis_callback.x",
    "nis_object.x",
    "nlm_prot.x",
    "rex.x",
    "rquota.x",
    "rstat.x",
    "rusers.x",
    "sm_inter.x",
    "spray.x",
    "yp.x",
    "yppasswd.x",
];

fn main() {
    let tests: Vec<Trial> = vec![
        skips::test(
            "debians_interfaces_compile_without_a_warning",
            [debian(), tool("clippy")],
            compile_debians,
        ),
        skips::test("ours_compile_in_every_variant", [tool("clippy")], compile_ours),
        skips::test(
            "rpcgen_takes_our_example_too",
            [skips::program("rpcgen"), skips::program("cpp")],
            rpcgen,
        ),
        skips::test("rustfmt_has_nothing_to_change", [debian(), tool("fmt")], format),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn debian() -> Need {
    match FILES.iter().find(|file| !Path::new(FOLDER).join(file).is_file()) {
        None => Ok(()),
        Some(file) => Err(format!("no {FOLDER}/{file}: apt-get install rpcsvc-proto libnsl-dev")),
    }
}

fn tool(name: &str) -> Need {
    let there =
        Command::new(cargo()).args([name, "--version"]).output().is_ok_and(|out| out.status.success());
    if there { Ok(()) } else { Err(format!("no cargo {name}: rustup component add clippy rustfmt")) }
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The Rust of all of them, by module.
fn debians() -> Result<Vec<(String, String)>, tapstack_rpcgen::Error> {
    let mut found: Vec<PathBuf> = fs::read_dir(FOLDER)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "x"))
        .collect();
    found.sort();
    let made = found.iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, Generator::new().exactly_once(true).compile(path)?))
    });
    made.collect()
}

/// The Rust of our own in every variant.
fn ours() -> Result<Vec<(String, String)>, tapstack_rpcgen::Error> {
    let all = Generator::new();
    let variants = [
        ("all", all.clone()),
        ("client", all.clone().server(false)),
        ("server", all.clone().client(false)),
        ("types", all.clone().types_only().xdr_path("tapstack_rpc::xdr")),
        ("exactly_once", all.clone().client(false).exactly_once(true)),
        ("bytes", all.clone().bytes(true)),
        ("string_bytes", all.string_bytes(true)),
    ];
    let mut made = Vec::new();
    for name in ["bank", "language", "types"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("example").join(name).with_extension("x");
        for (variant, generator) in &variants {
            made.push((format!("{name}_{variant}"), generator.compile(&path)?));
        }
    }
    Ok(made)
}

fn compile_debians() -> Outcome {
    let made = debians()?;
    ensure(made.len() >= FILES.len(), || format!("only {} files in {FOLDER}", made.len()))?;
    compile("debian", &made)
}

fn compile_ours() -> Outcome {
    compile("ours", &ours()?)
}

/// Checks a crate of these modules, in which every warning is an error.
fn compile(name: &str, modules: &[(String, String)]) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize()?;
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("src");
    fs::create_dir(&source)?;
    let mut door = "//! Generated modules.\n#![deny(missing_docs)]\n".to_owned();
    for (module, text) in modules {
        fs::write(source.join(module).with_extension("rs"), text)?;
        door.push_str(&format!("/// Generated.\npub mod {module};\n"));
    }
    fs::write(source.join("lib.rs"), door)?;
    let rpc = root.join("apps/rpc");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ntapstack-rpc.path = {rpc:?}\n"
    );
    fs::write(folder.path().join("Cargo.toml"), manifest)?;
    // The versions that the workspace has are those that are at hand.
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock"))?;
    let mut command = Command::new(cargo());
    command.args(["clippy", "--quiet", "--offline", "--", "-D", "warnings"]).current_dir(folder.path());
    // Beside the workspace's own, which this test's cargo may hold.
    command.env("CARGO_TARGET_DIR", root.join("target/rpcsvc"));
    let out = command.output()?;
    ensure(out.status.success(), || String::from_utf8_lossy(&out.stderr).into_owned())
}

/// What marks a procedure here is nothing to the program whose language this is.
fn rpcgen() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("example/bank.x"), folder.path().join("bank.x"))?;
    let out = Command::new("rpcgen").args(["-N", "-h", "bank.x"]).current_dir(folder.path()).output()?;
    let header = String::from_utf8_lossy(&out.stdout);
    ensure(
        out.status.success()
            && out.stderr.is_empty()
            && header.contains("bank_pay_1(char *, char *, u_quad_t"),
        || format!("{header}\n{}", String::from_utf8_lossy(&out.stderr)),
    )
}

fn format() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (name, text) in debians()?.into_iter().chain(ours()?) {
        let file = folder.path().join(name).with_extension("rs");
        fs::write(&file, text)?;
        files.push(file);
    }
    // A configuration of its own, or that of a folder above would count.
    fs::write(folder.path().join("rustfmt.toml"), "")?;
    let mut command = Command::new("rustfmt");
    command.args(["--check", "--edition", "2024", "--config-path"]).arg(folder.path()).args(&files);
    let out = command.output()?;
    ensure(out.status.success(), || String::from_utf8_lossy(&out.stdout).into_owned())
}
