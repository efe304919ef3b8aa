CREATE TABLE public.artifact (
    digest character varying NOT NULL,
    name character varying NOT NULL,
    target character varying NOT NULL,
    "precision" character varying NOT NULL,
    size_bytes bigint NOT NULL,
    figures json NOT NULL
);
CREATE TABLE public.device (
    id integer NOT NULL,
    name character varying NOT NULL,
    target character varying NOT NULL,
    transport character varying NOT NULL,
    stamp character varying NOT NULL
);
CREATE SEQUENCE public.device_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.device_id_seq OWNED BY public.device.id;
CREATE TABLE public.run (
    trial_id character varying NOT NULL,
    run_index integer NOT NULL,
    kind character varying NOT NULL,
    status character varying NOT NULL,
    invalid character varying NOT NULL,
    started_unix_ns bigint NOT NULL,
    duration_ns bigint NOT NULL
);
CREATE TABLE public.samples (
    trial_id character varying NOT NULL,
    run_index integer NOT NULL,
    arm character varying NOT NULL,
    channel character varying NOT NULL,
    dtype character varying NOT NULL,
    count integer NOT NULL,
    data bytea NOT NULL
);
CREATE TABLE public.schema_version (
    id integer NOT NULL,
    version integer NOT NULL,
    seatrial_version character varying NOT NULL
);
CREATE SEQUENCE public.schema_version_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schema_version_id_seq OWNED BY public.schema_version.id;
CREATE TABLE public.trial (
    id character varying NOT NULL,
    device_id integer NOT NULL,
    candidate_digest character varying NOT NULL,
    baseline_digest character varying,
    started_unix_ns bigint NOT NULL,
    status character varying NOT NULL,
    document bytea NOT NULL
);
CREATE TABLE public.verdict (
    id integer NOT NULL,
    trial_id character varying NOT NULL,
    rule character varying NOT NULL,
    outcome character varying NOT NULL,
    document character varying NOT NULL
);
CREATE SEQUENCE public.verdict_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.verdict_id_seq OWNED BY public.verdict.id;
ALTER TABLE ONLY public.device ALTER COLUMN id SET DEFAULT nextval('public.device_id_seq'::regclass);
ALTER TABLE ONLY public.schema_version ALTER COLUMN id SET DEFAULT nextval('public.schema_version_id_seq'::regclass);
ALTER TABLE ONLY public.verdict ALTER COLUMN id SET DEFAULT nextval('public.verdict_id_seq'::regclass);
INSERT INTO public.artifact VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'net-int8', 'generic-arm64', 'int8', 5000000, '{"parity": {"sqnr_db": 21.5, "top1_agreement": 0.97}, "accuracy": {"top1": 0.75}}');
INSERT INTO public.artifact VALUES ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'net-fp32', 'generic-arm64', 'fp32', 5000000, '{"parity": {"sqnr_db": 21.5, "top1_agreement": 0.97}, "accuracy": {"top1": 0.75}}');
INSERT INTO public.device VALUES (1, 'lab-pi', 'raspberry-pi-5', 'ssh', '');
INSERT INTO public.run VALUES ('old-1', 0, 'solo', 'ok', '', 0, 1000000000);
INSERT INTO public.run VALUES ('old-1', 1, 'solo', 'ok', '', 1000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 2, 'solo', 'ok', '', 2000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 3, 'solo', 'ok', '', 3000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 4, 'solo', 'ok', '', 4000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 5, 'solo', 'ok', '', 5000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 6, 'duet', 'ok', '', 6000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 7, 'duet', 'ok', '', 7000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 8, 'duet', 'ok', '', 8000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 9, 'duet', 'ok', '', 9000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 10, 'duet', 'ok', '', 10000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 11, 'duet', 'ok', '', 11000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 12, 'duet', 'ok', '', 12000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 13, 'duet', 'ok', '', 13000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 14, 'memory', 'ok', '', 14000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 15, 'memory', 'ok', '', 15000000000, 1000000000);
INSERT INTO public.run VALUES ('old-1', 16, 'memory', 'ok', '', 16000000000, 1000000000);
INSERT INTO public.run VALUES ('old-2', 0, 'solo', 'ok', '', 0, 1000000000);
INSERT INTO public.run VALUES ('old-2', 1, 'solo', 'ok', '', 1000000000, 1000000000);
INSERT INTO public.run VALUES ('old-2', 2, 'solo', 'ok', '', 2000000000, 1000000000);
INSERT INTO public.run VALUES ('old-2', 3, 'solo', 'ok', '', 3000000000, 1000000000);
INSERT INTO public.run VALUES ('old-2', 4, 'solo', 'ok', '', 4000000000, 1000000000);
INSERT INTO public.samples VALUES ('old-1', 0, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8e3d4b420118851fa820a821ed734e1c24b910881804d57611ee902544a492343a09e5528dd1dc10bca7298206a13fd0e44f081b228422b786288214923edee10ce770cec3e9958c855054be8dfa9048ce88f153a33325deba46145c30c889e298e84d88c6a7d1bf3736464536f2dc7bedbad89b15f194d8be14998288fe8cdb39f1b02e8296e8c6c4c7a4d83a106b2f46c259cf35f1b329760331bd23ce42e3b1218e3ac6cd953158168765111b16f9b69173feefbc583d178b55b19f757fec5cff9c7c32c2a248b932ee6bafc6ca92b8ab1acd92f8f2af23d7066991707edff7ef27c63f86d15f01');
INSERT INTO public.samples VALUES ('old-1', 1, 'a', 'wall_ns', 'uint32', 64, '\x789c1d8e3f28040018c57f4929456eb19c43d96491e11651ca8d4406f2a7cb7293c560359c322ad27b0393525206b1b92c573a160a2525eeca6d7264f2f7cbf096efbdefbddf4ad24c0c989b7eb1591097dfe2ed48f4664d71553cfe8abb75713e66b6ca62fa4c54e7c468ce3cb59b5aa8d26f9622b77d28da76452af43d12f745513b16e317a2f8215a122693175fb3e2bd224a4326dd6112e1ed4426f929b257e2b9cbac45c7c98b38b8171bcdfeff4fed9bfa29f33069ea32e2b6247e82f5b429f6fb4461d0cca44df7b218b6688c8ebdaae86935e57cb05e8b864e33ff2a720ba639d8ff00cccc6af2');
INSERT INTO public.samples VALUES ('old-1', 2, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8fbf2bc4711cc65f31b01931ba85f803b05928839b94280b67a12e831fc9a1a41c9144775edf387493844c16e9162519b9248313061b11937cb6e779f7f43caf77655cb21b521890f6da88a9a29c2d4b6c4e1eae647d44367b2513f44722a26f4dca26e5b4438aad527113f4ab24f3523a97db43c91dc97d63b8cfca74f0f543d23623dd61239596a790bf9897ed8c5c3ecbc49d743644ecfc6dd1f426d72989878e831729ff95d52f793f96745dc4f88aec66255f92fec051d515f1f329cdf188dc5ee05c08dc27b2f4288b63e1b7820cee07e658e84f4af5b7d48c4a4b4fe018967f46a56bbb');
INSERT INTO public.samples VALUES ('old-1', 3, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8fbd2b057018851f831b995864169b8141378b94410c92d8d455669214dd32dc9bc4a2189edf55241fe5bb10f988c5a02493743390a84bf74f20fca6f3d679dece39351752f895a94b697d95a386c0c98d7c5c492a27654d72fb25f3f532f6262bfbd29f084c6ccbf3b0ccdec5bfac1caccaf7a1746c4855bc6ba35711b5b45cb26b72df238fa581746520532d3fe7528ceccc40e4f2316f4e8eeb24b124c975f93b95966e597c895e41f27d924bc79e5bf29091a1e640f15a7a53911995f61d19190cbcc7ccb533d97b92e55d694b0526a765e1531ae3c692b871bc573a9381ae4df9078d78697e');
INSERT INTO public.samples VALUES ('old-1', 4, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8f3d28850114861f064a19c4602365bbba916297228b816e8a2c6e8ac55f48961b83625297e76360332091d41d0c9224562583fc94c16050cadfe08ce79cf7bceff3a67ba469483aafa4f74d2aefe4ec57ca6e25bb25eb0f92bf96eebc7cc4eebc282177207d39198cf9bb31a1b0229f715f5c95fb3f792a978b824cfcc8ee801c5624945c4ad784d4eecb54bd148d4b3a9590cdc86a43c2cd9a7c45fec6b68cbeaf333926c57b926993d266b90ebfe91179a90ebe61997f94d4ac74bc867f55c249b0d21eff2d52b3193d9ea3d7517045eef29cec1c4b7fe84f17a4a73558eb646946fe012af46752');
INSERT INTO public.samples VALUES ('old-1', 5, 'a', 'wall_ns', 'uint32', 64, '\x789c0dce4d28c3711cc7f1b79472fde760d75d948b72e0b48b95d3527273123929172b2d9735c56494acffe7bb1c6c52da38b8ccd3490a29adb6f210a5392ed272609ad67ee7cf43afc9a8a87f8b8513f198334a5dc6ce86083745fc4524d7c46a8f914e886ad967f95f3c6d8ad9416322257a675c77d888cc89ed92d81a300ab72271262e6e442746302e425f22f721e6a3c6debeb85a148d5ff1b9ebb207e1dd89838071bd2e32a7a2d5f0398a89f121e3d519c69262644a3cbb8fccbd284c8bbc73372bcef2277e9ca57bd4c8be89e3a258f2c5e5a1487518d5bcc87a46cd6d57fa0caf25decf45b15fb40189a36f74');
INSERT INTO public.samples VALUES ('old-1', 6, 'a', 'wall_ns', 'uint32', 16, '\x789ce34f9dcdc00fc48eb32682b1e7c35630365e300d8c0b376c00634efd05601ce8dc07c602a51bc01800c8101527');
INSERT INTO public.samples VALUES ('old-1', 6, 'b', 'wall_ns', 'uint32', 16, '\x789c53679bcda00ec4218e13c1b8b5bf158c4d5da6817187cb063036393b1f8cf3def482b137e706300600892e153b');
INSERT INTO public.samples VALUES ('old-1', 7, 'a', 'wall_ns', 'uint32', 16, '\x789c13d498c32008c49b2fed02e36b693560dcb27731181f0f5a01c60b0a278371f1b2f9607cb6700918030064671b5f');
INSERT INTO public.samples VALUES ('old-1', 7, 'b', 'wall_ns', 'uint32', 16, '\x789cb3509dcb6001c41319f7807193412d187f3bb6048c9727af84e0842960ecb272011827d72c056300f7fe186d');
INSERT INTO public.samples VALUES ('old-1', 8, 'a', 'wall_ns', 'uint32', 16, '\x789cd3a85bc9a001c4131b3ac178e9d15630deba6916187b9ce800634de109609c27330b8c3f852d00630039491893');
INSERT INTO public.samples VALUES ('old-1', 8, 'b', 'wall_ns', 'uint32', 16, '\x789c5be6ba92611910ef0aea04639e99ad60ac543f0b8cd7cdea0063c5c7fd60ccfb722618d7292e0063000941177f');
INSERT INTO public.samples VALUES ('old-1', 9, 'a', 'wall_ns', 'uint32', 16, '\x789c7378ddc3e000c49a9f2782f1bb9bf3c1f8d3e1e960fc44790618dfe95f09c67f38fbc0f86aef44300600f9211e9f');
INSERT INTO public.samples VALUES ('old-1', 9, 'b', 'wall_ns', 'uint32', 16, '\x789c33eae9653002e25b33278171fd840560ec5e38038c975f84e0d6c055606cbaa60f8c854c268131004e51184d');
INSERT INTO public.samples VALUES ('old-1', 10, 'a', 'wall_ns', 'uint32', 16, '\x789c63d35bcac006c433f21683f19443bd60fcfbc03430163583e06527b680b1e2cb23605cd6300d8c0134db1a27');
INSERT INTO public.samples VALUES ('old-1', 10, 'b', 'wall_ns', 'uint32', 16, '\x789cbb777629c33d20decfb3048c0f79f781f1bda0e9605c787c1a18cf28df0ac6eb961f056329a1e9600c00b78f1b21');
INSERT INTO public.samples VALUES ('old-1', 11, 'a', 'wall_ns', 'uint32', 16, '\x789cdbb86316c34620febdba0d8cd7db2c0363d7c92bc1b8f86a0b186fea81e018fe4560dc2b3f038c01b2571a41');
INSERT INTO public.samples VALUES ('old-1', 11, 'b', 'wall_ns', 'uint32', 16, '\x789c0b7098c51000c426ce6d601cb17b291887f1af0463a9bc16309ea80ac1ae131782b1d1cae9600c007ff21439');
INSERT INTO public.samples VALUES ('old-1', 12, 'a', 'wall_ns', 'uint32', 16, '\x789c3b2eb488e13810b3af5a01c6cb1fac0163f9d64560bcfd472b18c7702c05e3a0ae1960bc887713180300440118bf');
INSERT INTO public.samples VALUES ('old-1', 12, 'b', 'wall_ns', 'uint32', 16, '\x789c3becb398e130109ff8b0128c27e9af03e39ffb1783b1d39f363016f15806c6d736ce04e329699bc11800d2ff1ce1');
INSERT INTO public.samples VALUES ('old-1', 13, 'a', 'wall_ns', 'uint32', 16, '\x789c9b2f329b613e100755ce0063c15373c038e7d30e30ae699d04c686ea33c1f8cba4a960ec6cb2188c01123317ef');
INSERT INTO public.samples VALUES ('old-1', 13, 'b', 'wall_ns', 'uint32', 16, '\x789ceb383e87a10388dfa8cc02e3a38df3c058fce72e304e519802c69baecc02e31cb3e960fce5ef123006009b451c93');
INSERT INTO public.samples VALUES ('old-2', 0, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8fbd2bc47100c63f83970cc8e0a54ca743ce4b24a55c2923521cc34d4a0c8a923fe1b2c876cbf3dcadca7e83224631700365b0e8f81d31e846390edff1799efa7c7a8a4d6628672e66cd8dc45f87797e15d51eb39a17c984391f307359d3366a46a6cdc2a198bc327b1931bf6d4e6b22ba132b65d11d89fa0973df621a0eccd8be48741ac2fe9832b7bbe2e8475cf69bdfc0195f374bbd26da30836b66f85a2c3f886ca3292c06763a384ba2ef4da4425f79174f7526de1c9827a656111f98d89499298ae3aad8e93267c1d55a10e98cf9fc16b9b8d90aac97f0f36bd394432eb59b7f40c464f5');
INSERT INTO public.samples VALUES ('old-2', 1, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8e3d28047000c57f92cc9442b2187cd40d3eb249528a85e9728b2c278562b84ef918c86590ba3378efca60305c06031964d0950b754a9422f92816b748c960f01fdef27aeffd5e2a25163bcde9b6789e13d98439b8145df3221d37e913b1d96c56b6c4c799488c88815e51b92efaaec543b5d9cf98c355116f32757b62e642ec8e8b62d072d86d488a9abbe0ef8858b789be88a157918c98d29f98bd11fd45f17e258e5a02bfca947d89cfb05dc889b1906142947acce4a3387e0bfd72e35bb1103e65dacdd493c86f88f31fd1362c1aa3e6b720beef0377cdd42e99e99019ac30f956d3316aea03ef1f70ef6811');
INSERT INTO public.samples VALUES ('old-2', 2, 'a', 'wall_ns', 'uint32', 64, '\x789c0dcecf2bc30118c7f137e71d3828dca411a594ffc04129b483b2fc03db616e7253bba89d7699f5fd3c926431099b14899495b5c52e969bb40807bf522ea4e6b93d3d3d9fe7f5a9b4192d65f1fd2a361a62322a6ee7c4ef438056c5599731352b92ed46b82972bb62ba2862c762c7efee56c4f89eb8f26ce343bc2c88d497189817273951af89fe82202f9a97e274497c2e8a9f75d1f7e7ceb6e81e33f62f44473560392d222346e2401cf95c488874a711733bf924e237dea9c71872e3392242ef62f8dc7bfb9ffc9b081f8ad1eb80fb41a3b7d588ba5bcf88ad92d89c108f15f7d7c44cd6f771f10fab036f9f');
INSERT INTO public.samples VALUES ('old-2', 3, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8e3f2884011c869f128a4e31f873575c5144c446c9e0ae74941229dda6944fc44471e506e35d57bafcdef20d9c812b83e9cb64b0dc24934c060619d89432c86f7a9fe57d9f375817a97db132212a2de2edc188cf8ac792b82e1bd196f80c3c7f8cde51d17c654c85c645521c2e8be12fe3dbfbf927a3ee541413ce7da27d5a8c0c89818ac8de89db4931532fa2c8c83d1bef6d22d3246aee3c76ae8d8bfeaab1716f9c07beb128721fc6e09e28bc18e53f63fec8185b726fab28ad899d8c7feb12891effbd2d920d22de28363bc5ef8298cb8a8eaa388989b35d71f06a5ca644d82d5643719316ff31055e4f');
INSERT INTO public.samples VALUES ('old-2', 4, 'a', 'wall_ns', 'uint32', 64, '\x789c0d8eb14bc2011484bf70089786b2c02d235c0aa25a6a482551c2205a8ca0a586480802a16811b2368702877cf703219a2ddb84c6966808a9fe01b79ccc966c69e88defdedd7d573815857df1322f6a8b626c48ac4e05a4f3e2ad2642df4662607413229d14e58a68fd19e113917a128f21f15315938881f76c1c88fb0f111f17d16d715417cdbe91ca899961918cf8af2c742e8a9180e396a83e88cf15bf9d7fe1dce7c0987e15f909d1ff359a71717925161ae276d6bd87623323467c477b4bd4d7c5ddbb3177233a6d637747ac79ee3a2c9646dd7fe6ecaed15b165fbeb9e85a2c2bf64ae21fa3c860a4');
INSERT INTO public.schema_version VALUES (1, 1, '0.1.0');
INSERT INTO public.trial VALUES ('old-1', 1, 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 1000000000, 'ok', '\x789ced9adb72e3281086df45d7b6c792e31cfc2a5b5b541bda126b041a40ce645c7ef76990252b3b93ec385389bd297491089a43f3f3754b09da678e575843b6ca1c82b712d42cfefc9267934c0aaa374a4c43a1b7b31d5a278d26d37c160d1eac47c15a2dbf31edb2553eefaf49b6915aba6a6c2d4656eaea5b1726d9d24016c1c571e95ee04e72cc56fb4c434dbf3305eb6923c942b395e8a9c6826bd668ed13d54f97c16241bbc6d86074aeea5cab9b30e06192ad5b2d14ba3024072da4001fc717b24417baf03fbc68bea3af1afd546a7f3ff6b6448d56f229d8faf6860c8d452e8f3a1edb3af91dd9fac9072797bd440d58e99f82a3eeabb64cac49c17cb6a4914d9333282d628d9a6698cf1eee6899c0796b81c71ea14930dc2d0fa1bd51bc024913eea9685bed658dcca1f7529741974350091c2aa99f2bb3fec3ebb9329b6651fcae32c7b69757e61002e0549e64357ab4d94ab74a4db256d7c46e6b5174c6356e8c8d1afe32288ceb20dfa2d5a8bafb1a7815758f0523fa7adeb48c9b36aca39bab341480dad88ee4a69d53bb062d4d5883a690a1e93716bfb6a8b944c7b6d5f7ce278f3535a378b354cb8f759535deabe0f60694c3b0ff9ed6f5c4a829c7d3a4248f2d69f17d5919102caffb628db5a14ede7850ffaa831d488a5d857dbd906ecbc8c3a1626d8c675daad1d17dd8446993786f118fe8a5c5fdb5a7a422f01b314e4ad16d48894619d284c22cae3ee4fc53220c0b9736463b84180439c0fd7292967a072a4efeabc700cd2c28e03c45f24f9b4832b6ca4737caa81425082f7718fc0b15a387ccf11133728172be19bc3b6d3d80e555cc206334fa681e0d382b424e11ca34d87936acd3fa5199f018ee69af11c450dc1945c302ed907b949e9ea083852479d156c33fc6b20dd0ca87bad16e501e43e77ab58a41abb82fb16e487d8fd4ad6d98f4d8e94bb6c53c80867c1b76ffefd044a9d82914421c74f787430f57ef41c8bee5b144d6019cfc62e08c414904fd7f092a2e46509108fa14042d5e236878557d07801609a04f01d0cda500ba49007d0a80969702689900fa1400dd0e008916fd8b2f41f497dc3b03759b80ba66a0220057c6eedd6bec0eac76e8beebfbfc5d6237b17b1ebbf7d79277ef13bb89ddf3d87db896bcfb90d84dec9ef96fe3f9b524de13a389de44ef6fd29b5f4beacdd32948a2f75c7a8babc9bde90426d17b2ebd8babc9bde9f827d17b2ebda7a3a663878ffc62221d37bd01d8d1deee87fcc2ac3bc946bb83b065e183add389ccb152ea0d5a0c1f8dad6e1eba8b2ca1733180573dd68c540f9f397adbe2e1157c9697c4271d367d183ef9cff88cc07a333eb797c4271d2d7d183ec58bf8e4cff1c9ff1b1f7ad26913bfa9a607dd0f779fe1e9');
INSERT INTO public.trial VALUES ('old-2', 1, 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', NULL, 2000000000, 'ok', '\x789ced57db72da3010fd173f0305127ae1573a1dcf222d4645969c954c4218febd4732369eb679691f9864e001b4176977cf9edd4c4e45503baea9581781298a213bcbdf9f16c5a4301a7a6ff57409a1b797079660bc83693e4b5e219244d665ebcc4be942b15ecefbcfa4d81a67c2ee2d2baec636a4207b3c244c21bf8bb3e683515cac4f85a31abf85a5cdb431b0205ac5111aa1d06c58e408fd74952c422e345e9231845d975adda407cf9362d33a6d39a42715396d34c5fcbe3615877445fde707f12eb93a8e53e3e2d771b6153b16a3a624f5e747181a61652e385e7c8379e572738c29c9550f514362e231251a9e9c947a030417b3155ef6cda2a44a986b7688309f7dfb823249a95648e51bc92519beaccec9df5bb52383802788d2ba686a2e03c7685c9570399fcfa9cd577952d41c598ab56bad9d14adabd1a1565877c60d6fbd640c87e62e46cdf5a16be59ec5b1edce35a99d717c11bceef5aa694be5db544717abf2a099f3d2f5ab69e7f06b5810b026076220fc56f8a965a70c8772bf7bed728a5cc30dac1268d545b7131fa34d696fc90646e61451d7b184abe26b50c023158aef65eb49978bba176bae3d2e451fc9fea6a3031930d472afd726ec4b64382836dec7b21b2897d3a76d86f60edebf8007f6a2b8ef278c8ee617701c48e19806df5b0f4c3066b9fab4d9aee39e0a3792a79dd20c9219c8fdf62a32ee403607ffdbb243648d818b98e43f9a08185b1b731a55460a0b229a03a7fc9262b44a2f8b749402369b1fb2bbb69e48d42e6f903135fa691e3d385ba6adadad6fb8cb6ca853e248063d86337acda407f1e02d9e2574283c9b88bf13830590bc69abe9a797724ba87cd08dba813dc621f4682d07ac725fb26e587dcfb8d636a589dce10bdbc33c118dd53e75ff4772b1365f4a429a83ee7c3ef7e4ea3348dbb7ba48b00ec459dc8c3863a2dc19f47e19b4bc19839677067d08063ddc8c410f77067d08063dde8c418f7706bd6306c1d9f9fcff267c7f0162735b31');
INSERT INTO public.verdict VALUES (1, 'old-1', 'sequential-trimmed-t/1', 'PASS', '{"schema":"seatrial.verdict/1","rule":"sequential-trimmed-t/1","outcome":"PASS","reasons":["no regression of 5 % or more: +0.13 % (-0.87 to +1.13 %) from 8 duet pairs"],"checks":[{"metric":"latency_regression","outcome":"PASS","message":"no regression of 5 % or more: +0.13 % (-0.87 to +1.13 %) from 8 duet pairs","severity":"block","unit":"relative","value":0.0012739756756106578,"low":-0.00869016178942611,"high":0.01133826753395131,"confidence":0.9975,"limit":null,"ignore":0.01,"margin":0.05,"runs":null,"pairs":8,"noise_sd":0.0059880748395194664,"mde":0.027369838626445576,"method":"duet"}],"notes":[],"stamp":"","trial_id":"old-1","device":"lab-pi","target":"generic-arm64","candidate":"net-int8","baseline":"net-fp32","model":""}');
SELECT pg_catalog.setval('public.device_id_seq', 1, true);
SELECT pg_catalog.setval('public.schema_version_id_seq', 1, false);
SELECT pg_catalog.setval('public.verdict_id_seq', 1, true);
ALTER TABLE ONLY public.artifact
    ADD CONSTRAINT artifact_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY public.device
    ADD CONSTRAINT device_name_target_transport_stamp_key UNIQUE (name, target, transport, stamp);
ALTER TABLE ONLY public.device
    ADD CONSTRAINT device_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (trial_id, run_index);
ALTER TABLE ONLY public.samples
    ADD CONSTRAINT samples_pkey PRIMARY KEY (trial_id, run_index, arm, channel);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.verdict
    ADD CONSTRAINT verdict_pkey PRIMARY KEY (id);
CREATE INDEX trial_by_device ON public.trial USING btree (device_id, started_unix_ns);
CREATE INDEX trial_by_time ON public.trial USING btree (started_unix_ns);
CREATE INDEX verdict_by_trial ON public.verdict USING btree (trial_id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(id);
ALTER TABLE ONLY public.samples
    ADD CONSTRAINT samples_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(id);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_baseline_digest_fkey FOREIGN KEY (baseline_digest) REFERENCES public.artifact(digest);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_candidate_digest_fkey FOREIGN KEY (candidate_digest) REFERENCES public.artifact(digest);
ALTER TABLE ONLY public.trial
    ADD CONSTRAINT trial_device_id_fkey FOREIGN KEY (device_id) REFERENCES public.device(id);
ALTER TABLE ONLY public.verdict
    ADD CONSTRAINT verdict_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trial(id);
