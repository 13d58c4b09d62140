import { kafkaClientNames } from '@blockferry/replication-log'
import { replicationLogConformance } from '@blockferry/replication-log/conformance'
import { afterAll, beforeAll, describe } from 'vitest'
import { kafkaHarness } from '../support/kafka-harness.ts'
import { KafkaProxy } from '../support/kafka-proxy.ts'
import { describeWith, requireDocker } from '../support/requirements.ts'
import { CleanUp } from './support/clean-up.ts'
import { KafkaContainer } from './support/kafka-container.ts'
import { runName } from './support/run-name.ts'

describeWith([requireDocker], 'the Kafka log, with a broker in a container', () => {
  const run = runName('kafka')
  let cleanUp: CleanUp
  let proxy: KafkaProxy
  let broker: KafkaContainer

  beforeAll(async () => {
    cleanUp = new CleanUp(run)
    proxy = await KafkaProxy.listen()
    broker = await KafkaContainer.start(run, proxy.port)
    proxy.forwardTo(broker.port)
  })

  afterAll(async () => {
    await proxy[Symbol.asyncDispose]()
    await cleanUp[Symbol.asyncDispose]()
  }, 120_000)

  describe.each(kafkaClientNames)('over %s conforms', (kafkaClient) => {
    replicationLogConformance(async () => kafkaHarness({ broker, proxy, kafkaClient }))
  })
})
