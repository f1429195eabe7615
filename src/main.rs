//! Arguments and environment in, exit code out.

fn main() -> std::process::ExitCode {
    mailshim::main()
}
