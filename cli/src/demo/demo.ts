import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { GiB, MiB } from '@blockferry/runtime'
import { LabClient } from '../lab-client/lab-client.ts'
import { Narrator } from './narrator.ts'
import { createFilledImage } from './source-image.ts'
import { tellStory } from './story.ts'
import { reachVerdict } from './verdict.ts'

const sizeBytes = 1 * GiB
const dataBytes = 100 * MiB

/**
 * The whole product in one run, on real Kafka. Resolves to true when every check held. Its directory is
 * removed when they did, and kept (and named) when not.
 */
export async function runDemo(out: Writable, options: { readonly json: boolean }): Promise<boolean> {
  const narrator = new Narrator(out, options)
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-demo-'))
  const source = join(directory, 'source', 'vda.raw')
  try {
    await playOut({ narrator, directory, source })
  } catch (error) {
    narrator.check('the demo ran to its end', false, error instanceof Error ? error.message : String(error))
  }
  narrator.end()
  if (narrator.failed) narrator.say(`everything is kept for a look in ${directory}`)
  else await rm(directory, { recursive: true, force: true })
  return !narrator.failed
}

async function playOut(scene: { narrator: Narrator; directory: string; source: string }): Promise<void> {
  const { narrator, directory, source } = scene
  narrator.step('A 1 GiB thin disk that holds 100 MB already')
  await createFilledImage({ path: source, sizeBytes, dataBytes })
  narrator.say(source)

  narrator.step(
    'Two sites come up: two Kafka brokers, MirrorMaker 2 behind a WAN proxy, tap agent, aggregator, applier',
  )
  await using lab = await LabClient.start({ directory, disks: [`id=vda,size=1G,source=${source}`] })
  for (const [name, child] of Object.entries(lab.ready.processes))
    narrator.say(`${name.padEnd(10)} pid ${child.pid}`)
  const stopOnSignal = () => void lab.stop()
  process.once('SIGINT', stopOnSignal)
  process.once('SIGTERM', stopOnSignal)
  try {
    const result = await tellStory(lab, narrator)
    await reachVerdict(lab, narrator, result)
  } finally {
    process.off('SIGINT', stopOnSignal)
    process.off('SIGTERM', stopOnSignal)
  }
  const status = await lab.stop()
  narrator.check('both sites stopped in order', status === 0, `exit status ${status}`)
}
