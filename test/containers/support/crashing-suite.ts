/** Makes one of everything a suite makes, says so, and waits to be killed. Its argument is the run's name. */
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import { CleanUp, runLabel } from './clean-up.ts'
import { kafkaImage } from './kafka-container.ts'
import { makeVolume } from './lone-container.ts'

const run = process.argv[2] ?? ''
const cleanUp = new CleanUp(run)
const volume = await makeVolume(run, { name: 'volume' })
const { dockerode } = (await getContainerRuntimeClient()).container
const network = `${run}-network`
await dockerode.createNetwork({ Name: network, Labels: { [runLabel]: run } })
await new GenericContainer(kafkaImage)
  .withLabels({ [runLabel]: run })
  .withNetworkMode(network)
  .withEntrypoint(['sh', '-c', 'echo up; sleep 600'])
  .withBindMounts([{ source: volume, target: '/volume', mode: 'rw' }])
  .withWaitStrategy(Wait.forLogMessage(/up/))
  .start()
process.stdout.write('made\n')
process.stdin.resume()
void cleanUp
