import { MemorySlotMedium, openControlSlots } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { seededRandom } from '../testing/world.ts'
import { StampStore } from './stamp-store.ts'

const slotBytes = 4096

async function open(file: MemorySlotMedium, seed = 1): Promise<StampStore> {
  const slots = await openControlSlots({ file: file.open(), slotBytes, whenLost: 'begin-anew' })
  return StampStore.open(slots, seededRandom(seed))
}

/** The stamp of an agent that advanced it so often. */
async function advanced(
  times: number,
): Promise<{ readonly file: MemorySlotMedium; readonly agentId: string }> {
  const file = new MemorySlotMedium()
  const store = await open(file)
  for (let time = 1; time < times; time += 1) await store.advance()
  expect(store.newest.counter).toBe(times)
  return { file, agentId: store.newest.agentId }
}

test('the stamp found is the newest durable one', async () => {
  const { agentId, file } = await advanced(3)
  const store = await open(file, 2)
  expect(store).toMatchObject({ newest: { agentId, counter: 3 }, damage: null })
})

test('one rotten slot never sends the stamp back: the target would take the agent for an old copy (T5, S9)', async () => {
  for (const times of [2, 3]) {
    for (const slot of [0, 1]) {
      const { agentId, file } = await advanced(times)
      file.medium.flipBit(slot * slotBytes + 30, 1)
      const store = await open(file, 2)
      expect(store).toMatchObject({ newest: { agentId }, damage: 'STAMP_DAMAGED' })
      expect(store.newest.counter).toBeGreaterThan(times)
      expect(await open(file, 3)).toMatchObject({ newest: store.newest, damage: null })
    }
  }
})

test('two rotten slots cost the agent its id, not its service (G1)', async () => {
  const { agentId, file } = await advanced(3)
  for (const slot of [0, 1]) file.medium.flipBit(slot * slotBytes + 30, 1)
  const store = await open(file, 2)
  expect(store).toMatchObject({ newest: { counter: 1 }, damage: 'STAMP_LOST' })
  expect(store.newest.agentId).not.toBe(agentId)
  expect(await open(file, 3)).toMatchObject({ newest: store.newest, damage: null })
})
