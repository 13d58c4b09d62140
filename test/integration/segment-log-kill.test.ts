import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MiB } from '@blockferry/runtime'
import { openSegmentLog } from '@blockferry/segment-log'
import { expect, test } from 'vitest'

const rounds = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 50 : 5
const writer = new URL('../../packages/segment-log/src/testing/append-forever.ts', import.meta.url).pathname
const random = { uint32: () => 1, hex: (byteLength: number) => '01'.repeat(byteLength) }
const limits = { segmentBytes: 1 * MiB, bytesMax: 2000 * MiB }

test('a log whose process is killed in mid-append holds every acknowledged append, and the last whole or not', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const directory = await mkdtemp(join(tmpdir(), 'blockferry-log-kill-'))
    try {
      const acknowledged = await killAfter(directory, 40 + round * 37)
      const { log, recovery } = await openSegmentLog({ directory, limits, random })
      expect(recovery.corruptAtLsn).toBe(null)
      const frames = await countInOrder(log.reader(log.firstLsn))
      expect([acknowledged, acknowledged + 3]).toContain(frames)
      await log.close()
    } finally {
      await rm(directory, { recursive: true })
    }
  }
})

/** Lets the writer acknowledge some appends, then kills it; returns the last acknowledged number. */
async function killAfter(directory: string, appends: number): Promise<number> {
  const child = spawn(process.execPath, [writer, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    output += text
    if (output.split('\n').length > appends) child.kill('SIGKILL')
  })
  await once(child, 'close')
  return Number(output.trimEnd().split('\n').at(-1))
}

async function countInOrder(reader: {
  next(): Promise<{ readonly body: Buffer } | null>
  close(): Promise<void>
}): Promise<number> {
  let count = 0
  for (let frame = await reader.next(); frame !== null; frame = await reader.next()) {
    count += 1
    expect(frame.body.readUInt32LE(0)).toBe(count)
  }
  await reader.close()
  return count
}
