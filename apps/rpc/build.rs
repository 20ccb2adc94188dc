//! Makes Rust of the experiment's interface, as a program with an interface of its own does.

use tapstack_rpcgen::Generator;

fn main() {
    let generator = Generator::new().rpc_path("crate").exactly_once(true);
    if let Err(error) = generator.build("src/experiment/account.x") {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
