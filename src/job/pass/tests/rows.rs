//! Rows of steps that are one job, and what happens where they turn out not to be.

use super::*;

async fn backlog(blocks: i64) -> World {
    let world = World::new();
    for n in 0..blocks {
        world.block(&meta(1 + n, "a", (2 * n, 2 * n + 2))).await;
    }
    world
}

fn inputs(engine: &Fake) -> Vec<(usize, Option<i64>)> {
    engine.tasks.lock().unwrap().iter().map(|t| (t.inputs.len(), t.level)).collect()
}

#[tokio::test]
async fn what_lies_between_is_not_written() {
    let world = backlog(170).await;
    let plan = dry_run(&world.env, &PassOptions::default()).await.unwrap();
    let first = &plan.jobs[0];
    assert_eq!((first.blocks.len(), first.in_place_of, first.makes.len()), (168, 50, 3));
    let text = plan.to_text(200);
    assert!(text.contains("; instead of 50 compactions, whose blocks in between are not written\n"), "{text}");
    let engine = Fake::default();
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert!(result.is_clean());
    assert_eq!(inputs(&engine), [(168, Some(4))]);
    assert_eq!(engine.tasks.lock().unwrap()[0].join, crate::job::compact::Join::Apart);
    assert_eq!(result.downsampled.len(), 1, "what is left at last is downsampled on the way");
    assert_eq!(world.marked().await.len(), 168);

    let world = backlog(170).await;
    let engine = Fake::default();
    let options = PassOptions { stepwise: true, ..PassOptions::default() };
    run(&world.env, &options, &engine).await.unwrap();
    assert_eq!(inputs(&engine).len(), 50);
    assert!(inputs(&engine).iter().all(|task| task.1.is_none()));
    assert_eq!(dry_run(&backlog(170).await.env, &options).await.unwrap().jobs[0].in_place_of, 1);
}

#[tokio::test]
async fn a_block_in_the_way_holds_up_no_more_than_it_would() {
    let world = backlog(26).await;
    // it belongs to the third of six steps of eight hours
    let engine = Fake { fails: vec![(id(10), Kind::Corrupt, "chunk is damaged")], ..Fake::default() };
    let result = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    // its step is done twice before the damage is believed, and then the other five are left
    assert_eq!(inputs(&engine), [&[(24, Some(3))][..], &[(4, None); 7]].concat());
    assert_eq!((result.compacted.len(), result.errors.len()), (5, 1));
    // the row of two days waits for it, and nothing is tried
    let engine = Fake { fails: vec![(id(10), Kind::Corrupt, "chunk is damaged")], ..Fake::default() };
    let again = run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert!(inputs(&engine).is_empty(), "{again:?}");
    assert_eq!((again.compacted.len(), again.errors.len()), (0, 1));
    // once its index was replaced, all that is left is one row
    world.put(format!("{}/index", id(10)), vec![0; 101]).await;
    let engine = Fake::default();
    assert!(run(&world.env, &PassOptions::default(), &engine).await.unwrap().is_clean());
    assert_eq!(inputs(&engine), [(9, Some(3))]);
    // a bucket that is down is no reason to try it with less
    let world = backlog(26).await;
    let engine = Fake { fails: vec![(id(10), Kind::Unavailable, "not now")], ..Fake::default() };
    run(&world.env, &PassOptions::default(), &engine).await.unwrap();
    assert_eq!(inputs(&engine), [(24, Some(3))]);
}

#[tokio::test]
async fn a_block_that_is_left_out_leaves_a_row() {
    let world = backlog(26).await;
    let fails = vec![(id(1), Kind::Corrupt, "chunk [1, 2] is out of order behind [0, 3]")];
    let engine = Fake { fails, ..Fake::default() };
    let options = PassOptions { skip_out_of_order: true, ..PassOptions::default() };
    let result = run(&world.env, &options, &engine).await.unwrap();
    assert!(result.is_clean());
    assert_eq!(inputs(&engine), [(24, Some(3)), (23, Some(3))]);
}
