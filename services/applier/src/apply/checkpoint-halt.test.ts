import { expect, test } from 'vitest'
import { TargetWorld } from '../../testing/target-world.ts'
import type { TestSource } from '../../testing/test-source.ts'
import { stateOf } from '../disk/disk-state.ts'

const failure = (code: string) => Object.assign(new Error(code), { code })

/** A disk in sync, whose next writes of the checkpoint fail as told: the first begins a batch, the second ends it (A1, A2). */
async function inSync(fails: () => boolean): Promise<{ world: TargetWorld; vda: TestSource }> {
  const world = new TargetWorld({ applyIntervalMs: 50, idleCheckpointMs: 5_000 })
  world.wrapSlots = (file) => ({
    ...file,
    writeAt: (position, data) => (fails() ? Promise.reject(failure('EIO')) : file.writeAt(position, data)),
  })
  const vda = world.source('vda')
  vda.write(1, 1)
  world.arrive(vda.fullSync())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'the sync')
  return { world, vda }
}

const codeOf = (world: TargetWorld) => stateOf(world.live.volume.disk('vda')).code

test('a checkpoint that failed once after a batch halts its disk until the next one succeeds, also when nothing follows', async () => {
  let armed = false
  let writes = 0
  const { world, vda } = await inSync(() => armed && (writes += 1) === 2)
  armed = true
  vda.write(2, 2)
  world.arrive(vda.set())
  await world.time.until(() => codeOf(world) === 'CHECKPOINT_FAILED', 'the failure')
  await world.time.until(() => codeOf(world) === null, 'the halt to end', 10_000)
  expect(world.drained('vda')).toBe(true)
  world.crash(true)
  await world.start()
  expect(world.drained('vda')).toBe(true)
  await world.stop()
})

test('it stays halted while checkpoints fail, and applies what came meanwhile once they succeed', async () => {
  let failing = false
  const { world, vda } = await inSync(() => failing)
  failing = true
  vda.write(2, 2)
  world.arrive(vda.set())
  await world.time.until(() => codeOf(world) === 'CHECKPOINT_FAILED', 'the failure')
  await world.time.pass(30_000)
  expect(codeOf(world)).toBe('CHECKPOINT_FAILED')
  failing = false
  await world.time.until(() => world.drained('vda') && codeOf(world) === null, 'the halt to end', 20_000)
  await world.stop()
})

test('a target that failed is forgotten when its batch was written, whatever becomes of the checkpoint', async () => {
  let armed = false
  let writes = 0
  const { world, vda } = await inSync(() => armed && (writes += 1) === 3)
  let refuses = true
  const image = world.live.volume.disk('vda').image
  const device = image!.device
  const flush = device.flush.bind(device)
  device.flush = () => (refuses ? Promise.reject(failure('ENOSPC')) : flush())
  armed = true
  vda.write(2, 2)
  world.arrive(vda.set())
  await world.time.until(() => codeOf(world) === 'TARGET_FAILED', 'the failure')
  refuses = false
  await world.time.until(() => world.drained('vda') && codeOf(world) !== 'TARGET_FAILED', 'the batch', 20_000)
  await world.time.until(() => codeOf(world) === null, 'the halt to end', 10_000)
  await world.stop()
})

test('an index that cannot be written is not forgiven by a checkpoint of the idle volume', async () => {
  const { world, vda } = await inSync(() => false)
  let refuses = true
  const { index } = world.live.volume
  const add = index.add.bind(index)
  index.add = (points) => (refuses ? Promise.reject(failure('EIO')) : add(points))
  vda.write(2, 2)
  world.arrive(vda.cut({ cutId: '1'.repeat(32) }))
  await world.time.until(() => codeOf(world) === 'CHECKPOINT_FAILED', 'the failure')
  await world.live.volume.tryCheckpoint()
  expect(codeOf(world)).toBe('CHECKPOINT_FAILED')
  refuses = false
  await world.time.until(() => world.drained('vda') && codeOf(world) === null, 'the batch', 20_000)
  await world.stop()
})
