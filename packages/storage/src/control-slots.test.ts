import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { openControlSlots } from './control-slots.ts'
import { MemorySlotMedium } from './memory-slot-file.ts'
import { openSlotFile } from './slot-file.ts'

const longRun = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long'
const slotBytes = 4096

/** Draws 0 and 1 from a list, again and again: which unflushed sectors a power loss keeps. */
function drawsOf(bits: readonly boolean[]) {
  let at = 0
  const uint32 = (): number => (bits[at++ % bits.length] === true ? 0 : 1)
  return { uint32, hex: (byteLength: number) => '0'.repeat(byteLength * 2) }
}

test('the last acknowledged record, or the one being written, survives a crash at any step (C1–C4)', async () => {
  const crash = fc.record({
    writes: fc.integer({ min: 0, max: 4 }),
    killAfterSteps: fc.integer({ min: 0, max: 8 }),
    powerLoss: fc.boolean(),
    keeps: fc.array(fc.boolean(), { minLength: 1, maxLength: 16 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(crash, { minLength: 1, maxLength: 8 }), async (crashes) => {
      const file = new MemorySlotMedium()
      let expected: string | undefined
      let number = 0
      for (const { writes, killAfterSteps, powerLoss, keeps } of crashes) {
        let stepsLeft = Infinity
        let onKill = (): void => {}
        const killed = new Promise<void>((resolve) => (onKill = resolve))
        const slots = await openControlSlots({
          file: file.open(() => {
            stepsLeft -= 1
            if (stepsLeft >= 0) return Promise.resolve()
            onKill()
            return new Promise<never>(() => {})
          }),
          slotBytes,
        })
        const found = slots.found.newest?.record.toString()
        expect(found).toBe(expected)
        for (let write = 0; write < writes; write += 1) {
          number += 1
          expected = recordOf(number)
          await slots.write(Buffer.from(expected))
        }
        stepsLeft = killAfterSteps
        number += 1
        const last = slots.write(Buffer.from(recordOf(number))).then(() => true)
        const isAcknowledged = await Promise.race([killed.then(() => false), last])
        file.crash({ loseUnflushed: powerLoss ? drawsOf(keeps) : false })
        const { found: after } = await openControlSlots({ file: file.open(), slotBytes })
        const survivor = after.newest?.record.toString()
        if (isAcknowledged) expect(survivor).toBe(recordOf(number))
        else expect([expected, recordOf(number)]).toContain(survivor)
        expected = survivor
      }
    }),
    { numRuns: longRun ? 20_000 : 500 },
  )
})

/** Longer than a sector, so that it can tear. */
function recordOf(number: number): string {
  return `${number},`.repeat(400)
}

test('one rotten slot is reported and the other one read; two are SLOTS_CORRUPT (C4)', async () => {
  for (let byte = 0; byte < 27; byte += 1) {
    const file = new MemorySlotMedium()
    const slots = await openControlSlots({ file: file.open(), slotBytes })
    await slots.write(Buffer.from('one'))
    await slots.write(Buffer.from('two'))
    file.medium.flipBit(slotBytes + byte, 4)
    const { found } = await openControlSlots({ file: file.open(), slotBytes })
    expect(found).toMatchObject({ newest: { record: Buffer.from('one') }, oneSlotCorrupt: true })
    file.medium.flipBit(byte, 1)
    await expect(openControlSlots({ file: file.open(), slotBytes })).rejects.toMatchObject({
      code: 'SLOTS_CORRUPT',
    })
  }
})

test('an owner that can go on without its records begins anew on two bad slots, whatever the length of their file (C4)', async () => {
  const damages = [
    async (file: MemorySlotMedium) => file.medium.write(0, Buffer.alloc(2 * slotBytes, 0xff)),
    (file: MemorySlotMedium) => file.open().replaceAll(Buffer.alloc(100)),
  ]
  for (const damage of damages) {
    const file = new MemorySlotMedium()
    const reopen = () => openControlSlots({ file: file.open(), slotBytes, whenLost: 'begin-anew' })
    await (await reopen()).write(Buffer.from('one'))
    await damage(file)
    const lost = { newest: null, oneSlotCorrupt: false, bothSlotsCorrupt: true }
    // Opening alone repairs nothing: a process killed now must not make a loss look like a beginning.
    expect((await reopen()).found).toEqual(lost)
    const slots = await reopen()
    expect(slots.found).toEqual(lost)
    await slots.write(Buffer.from('two'))
    const again = await reopen()
    expect(again.found).toMatchObject({ newest: { record: Buffer.from('two') }, bothSlotsCorrupt: false })
    await again.write(Buffer.from('three'))
    expect((await reopen()).newest?.record.toString()).toBe('three')
  }
})

test('after a failed write the record before is kept and the next write may try again (C1, C3)', async () => {
  const memory = new MemorySlotMedium()
  const file = memory.open()
  let isBad = false
  const failing = {
    ...file,
    sync: () => (isBad ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) : file.sync()),
  }
  const slots = await openControlSlots({ file: failing, slotBytes })
  await slots.write(Buffer.from('good'))
  isBad = true
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await expect(slots.write(Buffer.from('bad'))).rejects.toMatchObject({ code: 'EIO' })
    expect(slots.newest?.record.toString()).toBe('good')
  }
  isBad = false
  await slots.write(Buffer.from('better'))
  const { found } = await openControlSlots({ file: memory.open(), slotBytes })
  expect(found).toEqual({
    newest: { record: Buffer.from('better'), serial: 5 },
    oneSlotCorrupt: false,
    bothSlotsCorrupt: false,
  })
})

test('on a file system the slots are created whole and found again', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-slots-'))
  const path = join(directory, 'slots')
  const slots = await openControlSlots({ file: openSlotFile(path), slotBytes })
  expect(slots.found).toEqual({ newest: null, oneSlotCorrupt: false, bothSlotsCorrupt: false })
  await slots.write(Buffer.from('{"mode":"STREAMING"}'))
  await slots.close()
  expect(await readFile(path)).toHaveLength(2 * slotBytes)
  const again = await openControlSlots({ file: openSlotFile(path), slotBytes })
  expect(again.found.newest?.record.toString()).toBe('{"mode":"STREAMING"}')
  await again.close()
  await writeFile(path, '')
  await expect(openControlSlots({ file: openSlotFile(path), slotBytes })).rejects.toMatchObject({
    code: 'SLOTS_CORRUPT',
  })
  await rm(directory, { recursive: true })
})

test('a file with smaller slots grows and keeps its newest record, whenever the process or the host dies (C5)', async () => {
  const largeBytes = 4 * slotBytes
  for (let killAfterSteps = 0; killAfterSteps < 12; killAfterSteps += 1) {
    for (const powerLoss of [false, true]) {
      const file = new MemorySlotMedium()
      const small = await openControlSlots({ file: file.open(), slotBytes })
      await small.write(Buffer.from('one'))
      await small.write(Buffer.from('two'))
      let stepsLeft = killAfterSteps
      let onKill = (): void => {}
      const killed = new Promise<void>((resolve) => (onKill = resolve))
      const step = () => {
        stepsLeft -= 1
        if (stepsLeft >= 0) return Promise.resolve()
        onKill()
        return new Promise<never>(() => {})
      }
      const long = 'three,'.repeat(1_500)
      const growing = (async () => {
        const slots = await openControlSlots({ file: file.open(step), slotBytes: largeBytes })
        expect(slots).toMatchObject({ growthFailure: null, recordBytesMax: largeBytes - 24 })
        await slots.write(Buffer.from(long))
        return true
      })()
      const isAcknowledged = await Promise.race([killed.then(() => false), growing])
      file.crash({ loseUnflushed: powerLoss ? drawsOf([true, false, true]) : false })
      const { found } = await openControlSlots({ file: file.open(), slotBytes: largeBytes })
      const survivor = found.newest?.record.toString()
      if (isAcknowledged) expect(survivor).toBe(long)
      else expect(['two', long]).toContain(survivor)
    }
  }
})

test('both slots of a grown file hold a record, also where one was rotten before (C4, C5)', async () => {
  for (const rotten of [null, 0, 1]) {
    const file = new MemorySlotMedium()
    const small = await openControlSlots({ file: file.open(), slotBytes })
    await small.write(Buffer.from('one'))
    await small.write(Buffer.from('two'))
    if (rotten !== null) file.medium.flipBit(rotten * slotBytes + 3, 4)
    // Serials 1 and 2 went to slots 0 and 1.
    const newest = rotten === 1 ? 'one' : 'two'
    const large = await openControlSlots({ file: file.open(), slotBytes: 2 * slotBytes })
    expect(large.found.newest?.record.toString()).toBe(newest)
    for (const slot of [0, 1]) {
      const { found } = await openControlSlots({ file: file.open(), slotBytes })
      expect(found).toMatchObject({ oneSlotCorrupt: false })
      file.medium.flipBit(slot * 2 * slotBytes + 3, 4)
      const { found: left } = await openControlSlots({ file: file.open(), slotBytes })
      expect(left.newest?.record.toString()).toMatch(/^(one|two)$/)
      file.medium.flipBit(slot * 2 * slotBytes + 3, 4)
    }
  }
})

test('where the larger file cannot be made, the smaller slots go on and the reason is told (C5)', async () => {
  const memory = new MemorySlotMedium()
  await (await openControlSlots({ file: memory.open(), slotBytes })).write(Buffer.from('one'))
  const full = {
    ...memory.open(),
    replaceAll: () => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })),
  }
  const slots = await openControlSlots({ file: full, slotBytes: 2 * slotBytes })
  expect(slots).toMatchObject({ growthFailure: { code: 'ENOSPC' }, recordBytesMax: slotBytes - 24 })
  await slots.write(Buffer.from('two'))
  const { found } = await openControlSlots({ file: memory.open(), slotBytes })
  expect(found.newest?.record.toString()).toBe('two')
})

test('larger slots than asked for are kept, and a file cut short is made whole again', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-slots-'))
  const path = join(directory, 'slots')
  const open = (bytes: number) => openControlSlots({ file: openSlotFile(path), slotBytes: bytes })
  {
    await using slots = await open(4 * slotBytes)
    await slots.write(Buffer.from('one'))
  }
  {
    await using slots = await open(slotBytes)
    expect(slots.recordBytesMax).toBe(4 * slotBytes - 24)
    expect(slots.found.newest?.record.toString()).toBe('one')
  }
  // Slot 0 holds record 1, slot 1 nothing yet.
  for (const leftBytes of [2 * slotBytes, 5 * slotBytes]) {
    await writeFile(path, (await readFile(path)).subarray(0, leftBytes))
    await using slots = await open(4 * slotBytes)
    expect(slots.found.newest?.record.toString()).toBe('one')
    expect(await readFile(path)).toHaveLength(8 * slotBytes)
  }
  await rm(directory, { recursive: true })
})
