import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LabClient, waitForDrained } from '@blockferry/cli'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runKillRound } from '../support/kill-rounds.ts'
import { describeWith, requireKafka } from '../support/requirements.ts'

const disks = ['id=vda,size=64M']

describeWith([requireKafka], 'services that speak to Kafka over kafkajs', () => {
  let directory = ''
  let lab: LabClient

  const start = async (kafkaClient: string) => {
    const extraArguments = ['--kafka-client', kafkaClient]
    lab = await LabClient.start({ directory, disks, extraArguments })
    await waitForDrained(lab)
  }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'blockferry-kafkajs-'))
    await start('kafkajs')
  })

  afterAll(async () => {
    await lab?.stop()
    await rm(directory, { recursive: true, force: true })
  })

  test('carry a guest’s writes to an equal image, with Kafka A and the aggregator killed under them', async () => {
    await runKillRound(lab, { process: 'kafka-a', signal: 'SIGKILL', guestRetries: true })
    await runKillRound(lab, { process: 'aggregator', signal: 'SIGKILL', guestRetries: true })
  })

  test('leave nothing to resync when the other client takes over', async () => {
    const before = await generations(lab)
    expect(await lab.stop()).toBe(0)
    await start('platformatic')
    await runKillRound(lab, { process: 'applier', signal: 'SIGKILL', guestRetries: true })
    expect(await generations(lab)).toEqual(before)
  })
})

/** A resync begins a new one. */
async function generations(lab: LabClient): Promise<readonly (readonly [string, number | undefined])[]> {
  const { disks: applied } = await lab.get<{
    disks: readonly { diskId: string; applied: { generation: number } | null }[]
  }>('applier', '/v1/disks')
  return applied.map((disk) => [disk.diskId, disk.applied?.generation])
}
