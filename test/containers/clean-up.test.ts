import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { waitFor } from '@blockferry/cli'
import { getContainerRuntimeClient } from 'testcontainers'
import { expect, test } from 'vitest'
import { describeWith, requireDocker } from '../support/requirements.ts'
import { runLabel } from './support/clean-up.ts'
import { runName } from './support/run-name.ts'

const suite = fileURLToPath(new URL('support/crashing-suite.ts', import.meta.url))

describeWith([requireDocker], 'a suite that is killed with -9', () => {
  test('leaves no container, no volume and no network behind', { timeout: 120_000 }, async () => {
    const run = runName('crash')
    const child = spawn(process.execPath, [suite, run], { stdio: ['pipe', 'pipe', 'inherit'] })
    const said = once(child.stdout, 'data').then(([line]) => String(line))
    const ended = once(child, 'exit').then(([status]) => `ended with ${status}`)
    expect(await Promise.race([said, ended])).toBe('made\n')
    expect(await countOf(run)).toEqual({ containers: 1, volumes: 1, networks: 1 })
    child.kill('SIGKILL')
    await waitFor(async () => Object.values(await countOf(run)).every((count) => count === 0), {
      what: 'everything of the killed suite to be removed',
      deadlineMs: 60_000,
      everyMs: 250,
      explain: async () => JSON.stringify(await countOf(run)),
    })
  })
})

async function countOf(run: string) {
  const { dockerode } = (await getContainerRuntimeClient()).container
  const filters = { label: [`${runLabel}=${run}`] }
  const containers = await dockerode.listContainers({ all: true, filters })
  const { Volumes } = await dockerode.listVolumes({ filters: JSON.stringify(filters) })
  const networks = await dockerode.listNetworks({ filters })
  return { containers: containers.length, volumes: Volumes.length, networks: networks.length }
}
