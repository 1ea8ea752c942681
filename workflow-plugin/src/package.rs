//! `package!()`.

/// Makes the crate a package: the plugin instance, its nine methods, its registration, its static record.
///
/// Write it once, at the crate root. Without the crate's feature `packaged` it expands to nothing, and the
/// crate is an ordinary library.
#[macro_export]
macro_rules! package {
    () => {
        // A crate without the feature knows nothing of it.
        #[allow(unexpected_cfgs)]
        #[doc(hidden)]
        const _: () = {
        #[cfg(feature = "packaged")]
        mod __longshore_package {
            use $crate::private as __longshore;
            use __longshore::{LongshorePackage, Method, __fidius_LongshorePackage};

            /// A second call in the crate defines this symbol again, which the compiler refuses by its name.
            #[unsafe(no_mangle)]
            static a_crate_calls_package_once: u8 = 0;

            pub struct Package(__longshore::PackageShell);

            impl Package {
                fn configure(config: __longshore::Config) -> Self {
                    Self(__longshore::instance(&config, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")))
                }
            }

            #[rustfmt::skip]
            #[__longshore::fidius::plugin_impl(LongshorePackage, crate = "__longshore::fidius", config = __longshore::Config)]
            impl LongshorePackage for Package {
                #[wire(raw)] fn get_task_metadata(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::GetTaskMetadata, r) }
                #[wire(raw)] fn execute_task(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::ExecuteTask, r) }
                #[wire(raw)] fn get_graph_metadata(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::GetGraphMetadata, r) }
                #[wire(raw)] fn execute_graph(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::ExecuteGraph, r) }
                #[wire(raw)] fn get_reactor_metadata(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::GetReactorMetadata, r) }
                #[wire(raw)] fn get_trigger_metadata(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::GetTriggerMetadata, r) }
                #[wire(raw)] fn invoke_trigger_poll(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::InvokeTriggerPoll, r) }
                #[wire(raw)] fn get_triggerless_graph_metadata(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::GetTriggerlessGraphMetadata, r) }
                #[wire(raw)] fn invoke_triggerless_graph(&self, r: Vec<u8>) -> Vec<u8> { self.0.call(Method::InvokeTriggerlessGraph, r) }
            }

            __longshore::fidius::fidius_plugin_registry!();
            $crate::__longshore_package_record!();
        }
        };
    };
}

/// The package's own static record: who it is, how it was built, what it speaks.
#[doc(hidden)]
#[macro_export]
macro_rules! __longshore_package_record {
    () => {
        $crate::private::record! {
            Package,
            "name" => env!("CARGO_PKG_NAME"),
            "version" => env!("CARGO_PKG_VERSION"),
            "description" => env!("CARGO_PKG_DESCRIPTION"),
            "authors" => env!("CARGO_PKG_AUTHORS"),
            "license" => env!("CARGO_PKG_LICENSE"),
            "sdk" => $crate::private::SDK_VERSION,
            "interface_version" => $crate::private::INTERFACE_VERSION_TEXT,
            "interface_hash" => $crate::private::INTERFACE_HASH_TEXT,
            "wire" => $crate::private::WIRE_SCHEMA,
            "panic" => $crate::private::PANIC_STRATEGY,
            "arch" => $crate::private::ARCH,
            "os" => $crate::private::OS,
            "target" => $crate::private::stamp(option_env!("LONGSHORE_TARGET")),
            "compiler" => $crate::private::stamp(option_env!("LONGSHORE_COMPILER")),
            "features" => $crate::private::stamp(option_env!("LONGSHORE_FEATURES")),
            "profile" => $crate::private::stamp(option_env!("LONGSHORE_PROFILE")),
            "configured" => $crate::private::stamp(option_env!("LONGSHORE_CONFIGURED")),
        }
    };
}
