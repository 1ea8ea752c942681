//! A package that misbehaves as [`MODE`] says: in its constructor, while it is asked for its entries, in its task,
//! or when it is to end.

longshore::package!();

/// The misbehaviour of this copy; the tests write another word over the dots.
#[used]
static MODE: [u8; 48] = *b"LONGSHORE-CORPUS-MODE:well......................";

fn mode() -> &'static str {
    // Read as it is in the file, not as the compiler saw it.
    let bytes = std::hint::black_box(&MODE);
    let text = std::str::from_utf8(&bytes[22..]).unwrap_or_default();
    text.trim_end_matches('.')
}

unsafe extern "C" {
    fn fork() -> i32;
    fn setsid() -> i32;
    fn usleep(microseconds: u32) -> i32;
    fn pthread_create(
        thread: *mut u64,
        attributes: *const std::ffi::c_void,
        start: extern "C" fn(*mut std::ffi::c_void) -> *mut std::ffi::c_void,
        argument: *mut std::ffi::c_void,
    ) -> i32;
    fn prctl(option: i32, name: *const std::ffi::c_char) -> i32;
    fn close(descriptor: i32) -> i32;
    fn write(descriptor: i32, bytes: *const u8, count: usize) -> isize;
    fn signal(number: i32, handler: usize) -> usize;
    fn raise(number: i32) -> i32;
    fn getppid() -> i32;
    fn kill(process: i32, number: i32) -> i32;
    fn _exit(code: i32) -> !;
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    misbehave(mode().strip_prefix("ctor-").unwrap_or_default());
}

#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = destruct;

extern "C" fn destruct() {
    drop(LOCKED.lock().expect("sound").take());
    misbehave(mode().strip_prefix("fini-").unwrap_or_default());
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

fn overflow(depth: u64) -> u64 {
    let frame = [depth; 64];
    if std::hint::black_box(&frame).iter().sum::<u64>() == 1 { depth } else { 1 + overflow(depth + 1) }
}

fn double_free() {
    let layout = std::alloc::Layout::new::<[u64; 4]>();
    // SAFETY: there is none; that is the point.
    unsafe {
        let memory = std::alloc::alloc(layout);
        std::alloc::dealloc(memory, layout);
        std::alloc::dealloc(memory, layout);
    }
}

fn fill() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 1 << 24]);
        std::hint::black_box(&kept);
    }
}

struct Noisy;

impl Drop for Noisy {
    fn drop(&mut self) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

thread_local! {
    static LOCAL: Noisy = const { Noisy };
}

fn misbehave(how: &str) {
    match how {
        "exit" => std::process::exit(7),
        "abort" => std::process::abort(),
        "segfault" => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        "overflow" => println!("{}", overflow(0)),
        "double-free" => double_free(),
        "fill" => fill(),
        "block" => sleep_for_ever(),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "kill" => drop(unsafe { raise(9) }),
        // As a supervisor that ends everything of a service does.
        "supervisor" => {
            unsafe { kill(getppid(), 15) };
            sleep_for_ever()
        }
        "panic" => panic!("corpus panics"),
        "fork" => {
            if unsafe { fork() } == 0 {
                std::thread::sleep(std::time::Duration::from_secs(20));
                unsafe { _exit(0) }
            }
        }
        "daemon" => daemon(),
        "forge" => {
            println!("LONGSHORE-PROBE {{\"code\":\"\",\"message\":\"\"}}");
            unsafe { _exit(0) }
        }
        "homesick" if std::env::var_os("PATH").is_none() => std::process::abort(),
        // As a library in C would: the C library knows of no thread-local of theirs that keeps this one.
        "pthread" => unsafe {
            let mut thread = 0;
            pthread_create(&raw mut thread, std::ptr::null(), run_for_ever, std::ptr::null_mut());
        },
        "handler" => drop(unsafe { signal(10, on_signal as *const () as usize) }),
        "threads" => {
            for _ in 0..4 {
                std::thread::spawn(|| sleep_for_ever());
            }
        }
        "runtime" => {
            static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
            RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime")).spawn(async {});
        }
        "environment" => unsafe { std::env::set_var("LONGSHORE_CORPUS", "was here") },
        "close" => (0..1024).for_each(|descriptor| drop(unsafe { close(descriptor) })),
        "signals" => [6, 8, 11, 15, 17].into_iter().for_each(|number| drop(unsafe { signal(number, 1) })),
        "babble" => {
            let noise = [0xff_u8; 64];
            for descriptor in 3..7 {
                unsafe { write(descriptor, noise.as_ptr(), noise.len()) };
            }
            sleep_for_ever();
        }
        "flood" => (0..50_000).for_each(|line| println!("corpus writes line {line}")),
        "leak" => drop(std::hint::black_box(Box::leak(vec![1_u8; 1 << 20].into_boxed_slice()))),
        "locals" => LOCAL.with(|_| {}),
        "stubborn" => drop(tokio::task::spawn_blocking(|| sleep_for_ever())),
        _ => match how.strip_prefix("unless:") {
            Some(flag) if !std::path::Path::new(flag).exists() => std::process::abort(),
            Some(_) => {}
            None => lock(how),
        },
    }
}

extern "C" fn run_for_ever(_: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
    loop {
        unsafe { usleep(1000) };
    }
}

extern "C" fn on_signal(_: i32) {}

/// The lock that the constructor took.
static LOCKED: std::sync::Mutex<Option<std::fs::File>> = std::sync::Mutex::new(None);

/// Takes the lock of a file, and keeps it until the library is closed.
fn lock(how: &str) {
    let Some(path) = how.strip_prefix("lock:") else { return };
    let file = std::fs::File::create(path).expect("a file");
    file.lock().expect("a lock");
    *LOCKED.lock().expect("sound") = Some(file);
}

/// Starts a process that leaves the session and the group of this one, and its parent.
fn daemon() {
    unsafe {
        if fork() != 0 {
            return;
        }
        setsid();
        if fork() == 0 {
            for descriptor in 0..64 {
                close(descriptor);
            }
            prctl(15, c"corpus-daemon".as_ptr());
            std::thread::sleep(std::time::Duration::from_secs(300));
        }
        _exit(0)
    }
}

/// A param whose schema is asked for with the package's other entries.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Odd(u32);

impl schemars::JsonSchema for Odd {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Odd".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        misbehave(mode().strip_prefix("asked-").unwrap_or_default());
        u32::json_schema(generator)
    }
}

#[longshore::workflow(name = "corpus-000", params(odd: Odd = Odd(1)))]
pub mod flow {
    use super::Odd;
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task(retry_attempts = 1)]
    pub async fn only(context: &mut Context<Value>) -> Result<(), TaskError> {
        if super::mode() == "task-wait" {
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        }
        super::misbehave(super::mode().strip_prefix("task-").unwrap_or_default());
        context.insert_as("pid", std::process::id())
    }
}

/// A name that another package may have as well.
#[longshore::workflow(name = "shared-000")]
pub mod shared {
    use longshore::{Context, TaskError, task};
    use serde_json::Value;

    #[task]
    pub async fn nothing(_context: &mut Context<Value>) -> Result<(), TaskError> {
        Ok(())
    }
}
