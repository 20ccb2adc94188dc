//! Makes Rust of the interfaces before this crate is compiled.

use tapstack_rpcgen::{Error, Generator};

fn main() {
    if let Err(error) = make() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn make() -> Result<(), Error> {
    Generator::new().exactly_once(true).build("bank.x")?;
    Generator::new().exactly_once(true).build("language.x")?;
    Generator::new().types_only().bytes(true).string_bytes(true).build("types.x")?;
    Ok(())
}
