import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { delayed, failing, torn } from './faulty-device.ts'
import { openMemoryDevice } from './memory-device.ts'
import { MemoryMedium } from './memory-medium.ts'

const sizeBytes = 4096

async function contentOf(medium: MemoryMedium): Promise<Buffer> {
  const content = Buffer.alloc(sizeBytes)
  await openMemoryDevice({ medium, sizeBytes }).read(0, content)
  return content
}

test('a process crash keeps every write, a power loss keeps the flushed and draws the others by sector', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.boolean()), async (keeps) => {
      const medium = new MemoryMedium()
      const device = openMemoryDevice({ medium, sizeBytes })
      await device.write(0, [Buffer.alloc(4096, 1)])
      await device.flush()
      await device.write(0, [Buffer.alloc(2048, 2)])
      medium.crash({ loseUnflushed: false })
      const afterKill = await contentOf(medium)
      expect([afterKill[0], afterKill[2048]]).toEqual([2, 1])
      medium.crash({ loseUnflushed: { uint32: () => (keeps.next().value ? 0 : 1), hex: () => '' } })
      const content = await contentOf(medium)
      for (let sector = 0; sector < 8; sector += 1) {
        const bytes = new Set(content.subarray(sector * 512, sector * 512 + 512))
        expect(bytes.size).toBe(1)
        expect(sector < 4 ? [1, 2] : [1]).toContain([...bytes][0])
      }
    }),
    { numRuns: 50 },
  )
})

test('what is written while a flush flies is not covered by it', async () => {
  const medium = new MemoryMedium()
  const device = openMemoryDevice({ medium, sizeBytes })
  await device.write(0, [Buffer.alloc(512, 1)])
  let release = (): void => {}
  const gate = new Promise<void>((resolve) => (release = resolve))
  const flush = openMemoryDevice({ medium, sizeBytes, step: () => gate }).flush()
  await device.write(0, [Buffer.alloc(512, 2)])
  release()
  await flush
  medium.crash({ loseUnflushed: { uint32: () => 1, hex: () => '' } })
  expect((await contentOf(medium))[0]).toBe(1)
})

test('after a crash the dead process neither acts nor returns a result', async () => {
  const medium = new MemoryMedium()
  let release = (): void => {}
  const gate = new Promise<void>((resolve) => (release = resolve))
  const write = openMemoryDevice({ medium, sizeBytes, step: () => gate }).write(0, [Buffer.alloc(512, 9)])
  medium.crash({ loseUnflushed: false })
  release()
  await expect(write).rejects.toMatchObject({ code: 'DISK_CLOSED' })
  expect((await contentOf(medium))[0]).toBe(0)
})

test('the wrappers fail, shorten, tear and delay the calls they are told to', async () => {
  const medium = new MemoryMedium()
  const device = openMemoryDevice({ medium, sizeBytes })
  const full = failing(device, ({ operation, nth }) =>
    operation === 'write' && nth === 2 ? { code: 'ENOSPC', short: true } : null,
  )
  await full.write(0, [Buffer.alloc(2048, 1)])
  await expect(full.write(0, [Buffer.alloc(2048, 2)])).rejects.toMatchObject({ code: 'ENOSPC' })
  const afterShort = await contentOf(medium)
  expect([afterShort[1023], afterShort[1024]]).toEqual([2, 1])

  let waits = 0
  const slow = delayed(device, async () => void (waits += 1))
  await slow.flush()
  expect(waits).toBe(1)

  await new Promise<void>((onTorn) => {
    const dying = torn(device, { nth: 1, onTorn })
    void dying.write(2048, [Buffer.alloc(2048, 3)])
  })
  const afterTear = await contentOf(medium)
  expect([afterTear[3071], afterTear[3072]]).toEqual([3, 0])
})
