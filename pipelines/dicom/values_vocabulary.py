"""The words that may stay in a description: what was imaged and how, and nothing of whom or where.

What belongs here: an allow-list. What does not: deciding which attributes it is applied to (`confidentiality`). No
word is here that is also a usual name, in any language: neither Ng, Ma, Rao and Lao nor Ray, Cross and Ward.
"""

VOCABULARY = frozenset(
    """
    abdomen abdominal ac airway ankle apical arm axilla axillary bladder bone bones bowel brain breast breasts
    bronchial calcaneus calvaria cardiac carpal cavity cervical chest clavicle coccyx colon cranial cranium
    diaphragm digit dorsal elbow esophagus extremity face facial femoral femur fibula finger fingers foot forearm
    hand hands head heart hemithorax hilar hilum hip hips humerus iliac intercostal joint joints kidney kidneys knee
    knees kub larynx leg limb liver lobe lower lumbar lumbosacral lung lungs mandible mediastinal mediastinum middle
    nasal neck oesophagus orbit orbits patella pectoral pelvic pelvis pharynx pleura pleural pulmonary radius rib
    ribs sacral sacroiliac sacrum scaphoid scapula shoulder shoulders sinus sinuses skeletal skull soft spinal spine
    spleen sternal sternum thigh thoracic thoracolumbar thorax throat thumb tibia tissue toe toes torso trachea
    ulna upper vertebra vertebral vertebrae wrist wrists

    anterior anteroposterior ap axial bilateral caudal contralateral coronal craniocaudal crosstable decub
    decubitus distal dorsovolar erect frog frontal inferior inferosuperior ipsilateral ipsi lat lateral
    laterals laterolateral left lordotic lpo medial midline mediolateral mlo cc neutral oblique obliques pa
    posterior posteroanterior projection projections prone proximal recumbent right rpo sagittal seated
    semierect semiupright sitting skyline standing superior supine swimmer swimmers tangential transthoracic
    transverse upright ventral view views weightbearing

    adult children infant neonatal neonate newborn paediatric pediatric

    bedside breath breathhold digital erect exp expiration expiratory film flexion extension grid hold insp
    inspiration inspiratory icu mobile oblique portable postop preop repeat routine screening standard upright

    angio angiogram angiography bolus contrast ct cta cr dce dlp dwi dx dynamic echo enhanced fd flair
    fluoro fluoroscopy fse gre helical hrct ir iv kv kvp localizer mammo mammogram mammography mg mip mpr
    mra mri nm non noncontrast oral pet pd phase post pre proton radiograph radiographs radiography recon
    reconstruction reformat reformatted rf rx saturation scan scanogram scout sequence series single spect
    spin spiral spect stir study suppression survey suv thick thin tof tomo tomogram tomography tomosynthesis
    topogram tse ultrasound volume weighted window windows with without xa xr xray

    catheter cannula chestdrain clip clips device drain drainage electrode endotracheal ett feeding
    line lines nasogastric ngt pacemaker picc prosthesis stent tube tubes

    effusion normal pneumothorax
    """.split()  # noqa: SIM905 - a page of words reads as a page of words
)
"""Lower case."""
