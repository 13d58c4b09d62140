import { compareImages, LabClient, waitForDrained } from '@blockferry/cli'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeNbdBadInput } from '../support/nbd-bad-input-suite.ts'
import { describeNbdClients } from '../support/nbd-client-suite.ts'
import type { ServedDisk } from '../support/nbd-plain-server.ts'
import { describeWith, requireKafka, requireTool } from '../support/requirements.ts'
import { runTool } from '../support/run-tool.ts'

/*
 * The real clients of the plain server's suite, against the tap with the whole lab behind it. Each suite
 * gets a disk of its own; when it is done with it, the drained target must equal the source.
 */
const disksMax = 9
/** The server's defaults: the tap offers no knob for the deadline. */
const requestDeadlineMs = 30_000
const connectionsMax = 256
const used: LabClient['ready']['disks'][number][] = []
let lab: LabClient | null = null

describeWith([requireKafka], 'the tap, with the whole lab behind it', () => {
  beforeAll(async () => {
    const disks = Array.from({ length: disksMax }, (_, index) => `id=c${index},size=64M`)
    lab = await LabClient.start({ disks })
  })

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
  })

  describeNbdClients({ name: 'the tap', startServer: nextDisk })

  describeWith([requireTool('e2fsck')], 'the target of the disk with the file system', () => {
    test('passes e2fsck by itself', async () => {
      const checked = await runTool('e2fsck', '-fn', used.at(-1)?.target ?? '')
      expect(checked).toContain('Pass 5')
    })
  })

  describe('bad input to the tap', () => {
    describeNbdBadInput({ name: 'the tap', startServer: nextDisk, requestDeadlineMs, connectionsMax })
  })
})

async function nextDisk(): Promise<ServedDisk> {
  const running = lab
  const disk = running?.ready.disks[used.length]
  if (running === null || disk === undefined) throw new Error('more suites than disks')
  used.push(disk)
  return {
    uri: disk.nbd,
    socketPath: new URL(disk.nbd).searchParams.get('socket') ?? '',
    exportName: disk.id,
    backingPath: disk.source,
    sizeBytes: 64 << 20,
    stop: async () => {
      await waitForDrained(running)
      const images = await compareImages(disk)
      expect(images.differing, `regions of ${disk.id} that differ at the target`).toEqual([])
      expect(images.targetAllocatedBytes).toBeLessThanOrEqual(images.sourceAllocatedBytes * 1.05 + 65_536)
      expect(images.targetAllocatedBytes).toBeGreaterThanOrEqual(images.sourceAllocatedBytes * 0.95 - 65_536)
    },
  }
}
