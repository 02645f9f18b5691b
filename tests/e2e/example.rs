//! Proves that the example does what its README says, to somebody who has just built it.

use std::time::Duration;

use quash_e2e::process::Process;
use quash_e2e::{Home, binary, eventually};

use crate::scene::LIMIT;

const TOUR: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_tour_through_the_shop_finds_everything_as_it_should_be() {
    let mut shop = Shop::start(&["--tour"], None);
    let code = shop.process.exit_code(TOUR).await;
    let said = shop.said();
    assert_eq!(code, 0, "{said}");
    for line in ["invalidated after", "GET /books/3           hit", "GET /books/1           404", "all as it should be"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(shop.leftovers(), 0, "its servers and their folders end with it");
}

#[tokio::test]
async fn the_shop_is_open_until_it_is_told_to_stop() {
    let mut shop = Shop::start(&["--listen", "127.0.0.1:0"], None);
    eventually(LIMIT, "it is open", async || shop.said().contains("the shop is open")).await;
    assert!(shop.leftovers() > 0, "its servers have folders");
    shop.process.signal("TERM");
    assert_eq!(shop.process.exit_code(LIMIT).await, 0, "{}", shop.said());
    assert_eq!(shop.leftovers(), 0, "its servers and their folders end with it");
}

#[tokio::test]
async fn without_its_servers_the_shop_says_what_to_install() {
    let mut shop = Shop::start(&["--tour"], Some("/nowhere"));
    assert_eq!(shop.process.exit_code(LIMIT).await, 1);
    assert!(shop.said().contains("apt-get install postgresql redis-server"), "{}", shop.said());
}

/// The example, with a folder of its own for everything that it leaves.
struct Shop {
    process: Process,
    home: Home,
}

impl Shop {
    fn start(arguments: &[&str], path: Option<&str>) -> Self {
        let home = Home::new("example");
        let (folders, log) = (home.path().join("folders"), home.path().join("shop.log"));
        std::fs::create_dir(&folders).unwrap();
        // PostgreSQL runs as another user where the tests run as root.
        let parents = [home.path(), &folders];
        parents.iter().for_each(|folder| open_to_all(folder));
        let mut command = std::process::Command::new(binary().with_file_name("quash-example-shop"));
        command.args(arguments).env("TMPDIR", folders).envs(path.map(|path| ("PATH", path)));
        Self { process: Process::spawn("the shop", &log, &mut command), home }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.home.path().join("shop.log")).unwrap_or_default()
    }

    fn leftovers(&self) -> usize {
        std::fs::read_dir(self.home.path().join("folders")).unwrap().count()
    }
}

fn open_to_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
