//! A root, ninety-eight tasks beside each other, and one that waits for all of them.

#[cloacina::workflow(name = "wf_fanout", description = "ninety-eight beside each other")]
pub mod wf_fanout {
    use cloacina::{task, Context, TaskError};

    #[task(dependencies = [])]
    pub async fn root(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f0(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f1(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f2(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f3(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f4(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f5(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f6(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f7(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f8(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f9(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f10(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f11(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f12(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f13(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f14(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f15(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f16(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f17(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f18(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f19(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f20(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f21(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f22(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f23(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f24(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f25(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f26(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f27(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f28(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f29(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f30(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f31(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f32(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f33(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f34(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f35(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f36(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f37(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f38(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f39(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f40(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f41(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f42(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f43(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f44(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f45(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f46(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f47(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f48(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f49(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f50(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f51(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f52(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f53(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f54(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f55(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f56(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f57(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f58(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f59(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f60(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f61(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f62(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f63(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f64(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f65(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f66(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f67(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f68(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f69(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f70(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f71(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f72(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f73(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f74(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f75(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f76(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f77(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f78(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f79(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f80(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f81(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f82(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f83(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f84(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f85(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f86(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f87(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f88(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f89(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f90(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f91(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f92(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f93(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f94(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f95(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f96(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["root"])]
    pub async fn f97(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }

    #[task(dependencies = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29", "f30", "f31", "f32", "f33", "f34", "f35", "f36", "f37", "f38", "f39", "f40", "f41", "f42", "f43", "f44", "f45", "f46", "f47", "f48", "f49", "f50", "f51", "f52", "f53", "f54", "f55", "f56", "f57", "f58", "f59", "f60", "f61", "f62", "f63", "f64", "f65", "f66", "f67", "f68", "f69", "f70", "f71", "f72", "f73", "f74", "f75", "f76", "f77", "f78", "f79", "f80", "f81", "f82", "f83", "f84", "f85", "f86", "f87", "f88", "f89", "f90", "f91", "f92", "f93", "f94", "f95", "f96", "f97"])]
    pub async fn last(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> { Ok(()) }
}
